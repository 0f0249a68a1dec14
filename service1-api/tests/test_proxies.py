"""Behind nginx and haproxy with keep-alive connections: in 10,000 mixed requests, no good one fails."""

import random
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from . import attacks
from .attacks import HEAD
from .aws_stub import AwsStub
from .proxies import haproxy, nginx
from .server import BODY, JSON, Api, running

pytestmark = pytest.mark.system

REQUESTS = 10_000
CLIENTS = 8
LARGE = b"x" * 200_000
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

Proxy = Callable[[Api, Path], AbstractContextManager[int]]

# Requests of broken or hostile clients: bodies that are too large, unexpected, malformed at the end, or incomplete.
BAD = [
    HEAD + b"Content-Length: 2500000\r\n\r\n" + LARGE * 13,
    HEAD.replace(b"application/json", b"text/plain") + b"Content-Length: 200000\r\n\r\n" + LARGE,
    b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + LARGE,
    b"POST /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n30d40\r\n" + LARGE + b"\r\n0\r\n\r\n",
    HEAD + b"Content-Length: 200000\r\n\r\n" + LARGE[:1000],
    HEAD + b"Content-Length: 2\r\n\r\n{}",
    HEAD + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n{}",
    HEAD + b"Content-Length: 2\r\nExpect: something\r\n\r\n{}",
    HEAD + b"Authorization: Bearer wrong\r\nContent-Length: 200000\r\n\r\n" + LARGE,
    CHUNKED + b"2\r\n{}\r\n0\r\nbad trailer\r\n\r\n",
    CHUNKED + b"2\r\n{}x\r\n0\r\n\r\n",
    CHUNKED + b"1\r\na\r\n" * 20_000 + b"0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length:" + b" " * 4000 + b"\n\r\n\r\n",
    b"GET /docs/docs.js HTTP/1.1\r\nHost: x\r\n\r\n" * 20,
    b"GET / HTTP/1.0\r\n\r\n",
    *attacks.ODD,
]


@pytest.fixture
def aws() -> Iterator[AwsStub]:
    stub = AwsStub()
    yield stub
    stub.close()


class Client:
    """Sends good requests over a keep-alive connection and bad ones over their own, in a seeded order."""

    def __init__(self, port: int, seed: int) -> None:
        self._port = port
        self._random = random.Random(seed)  # noqa: S311  # which request comes next
        self._good = HTTPConnection("127.0.0.1", port, timeout=60)
        self.statuses: Counter[int] = Counter()
        self.accepted = 0

    def run(self, requests: int) -> None:
        for _ in range(requests):
            if self._random.random() < 0.2:
                self._send_bad(self._random.choice(BAD))
            else:
                self._send_good()
        self._good.close()

    def _send_good(self) -> None:
        method, path, body = self._random.choice([("POST", "/api/message", BODY), ("GET", "/health", None)])
        try:
            self._good.request(method, path, body, JSON if body else {})
            response = self._good.getresponse()
            response.read()
            self.statuses[response.status] += 1
            self.accepted += method == "POST" and response.status == 200
        except (OSError, HTTPException):
            self.statuses[0] += 1
            self._good.close()

    def _send_bad(self, request: bytes) -> None:
        with socket.create_connection(("127.0.0.1", self._port), 10) as connection:
            connection.settimeout(0.3)  # the server waits for the rest of some; then they are closed
            try:
                connection.sendall(request)
                connection.recv(65536)
            except OSError:
                return


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "proxy",
    [nginx, partial(nginx, buffering="off"), haproxy],
    ids=["nginx", "nginx that streams bodies", "haproxy"],
)
def test_bad_requests_behind_a_proxy_fail_no_good_one(aws: AwsStub, tmp_path: Path, proxy: Proxy) -> None:
    with running(aws, tmp_path) as api, proxy(api, tmp_path) as port:
        clients = [Client(port, seed) for seed in range(CLIENTS)]
        threads = [threading.Thread(target=client.run, args=(REQUESTS // CLIENTS,)) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        statuses = sum((client.statuses for client in clients), Counter[int]())
        assert set(statuses) == {200}, statuses
        assert sum(aws.messages.values()) == sum(client.accepted for client in clients)
