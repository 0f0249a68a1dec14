"""Clients in a closed loop against a running service, and the responses that they got."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from types import MappingProxyType

from common.testing.waiting import eventually as until

from .server import BODY, JSON, Api


class Load:
    """Clients that post e-mails, each over its own keep-alive connection, until stopped."""

    def __init__(
        self, api: Api, clients: int = 8, body: bytes = BODY, headers: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self.statuses: Counter[int] = Counter()
        self.accepted: list[str] = []
        self.broken = 0
        self.slowest_seconds = 0.0
        self.body = body
        self.headers = {**JSON, **headers}
        self._api = api
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)

    def wait_for(self, status: int, count: int = 1) -> None:
        reached = self.statuses[status] + count
        until(lambda: self.statuses[status] >= reached)

    def _run(self) -> None:
        connection = HTTPConnection("127.0.0.1", self._api.port, timeout=30)
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                connection.request("POST", "/api/message", self.body, self.headers)
                response = connection.getresponse()
                answer = json.loads(response.read())
            except ConnectionRefusedError:
                return  # the server has stopped: nothing was accepted
            except OSError:
                with self._lock:
                    self.broken += 1
                connection.close()
                continue
            with self._lock:
                self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - began)
                self.statuses[response.status] += 1
                if response.status == 200:
                    self.accepted.append(answer["message_id"])
        connection.close()


@contextmanager
def under_load(api: Api, clients: int = 8) -> Iterator[Load]:
    load = Load(api, clients)
    try:
        load.wait_for(200, 20)
        yield load
    finally:
        load.stop()
