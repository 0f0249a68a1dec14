"""HTTP according to RFC 9110 and 9112, on the running service: versions, expectations, pipelines and closing."""

import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from common.testing.waiting import eventually as until

from .aws_stub import AwsStub
from .in_process import InProcessServer
from .server import BODY, SERVICE, Api, exchange, read_all, running

HEAD = b"POST /api/message HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
LENGTH = b"Content-Length: %d\r\n\r\n" % len(BODY)


@pytest.fixture(scope="module")
def api(aws: AwsStub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running(aws, tmp_path_factory.mktemp("api"), TRUSTED_PROXY_HOPS="1") as api:
        yield api


@pytest.mark.parametrize(
    ("request_bytes", "status_line"),
    [
        (b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n", b"HTTP/1.1 400 Bad Request"),
        (b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"HTTP/1.1 400 Bad Request"),
        (b"GET /health HTTP/1.0\r\n\r\n", b"HTTP/1.0 200 OK"),
        (b"GET /health HTTP/1.2\r\nHost: x\r\nConnection: close\r\n\r\n", b"HTTP/1.1 200 OK"),
        (b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: TE, close\r\n\r\n", b"HTTP/1.1 200 OK"),
        (b"GET /health HTTP/2.0\r\nHost: x\r\n\r\n", b"HTTP/1.1 400 Bad Request"),
        (b"GET http://y/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"HTTP/1.1 200 OK"),
        (HEAD + b"Expect: a-miracle\r\n" + LENGTH + BODY, b"HTTP/1.1 417 Expectation Failed"),
        (HEAD.replace(b"1.1", b"1.0") + b"Expect: 100-continue\r\n" + LENGTH + BODY, b"HTTP/1.0 200 OK"),
        (HEAD + b"Expect: 100-continue\r\nConnection: close\r\n" + LENGTH + BODY, b"HTTP/1.1 200 OK"),
        (b"HEAD /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"HTTP/1.1 200 OK"),
        (b"\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"HTTP/1.1 200 OK"),
    ],
)
def test_request_is_answered_according_to_the_rfcs(api: Api, request_bytes: bytes, status_line: bytes) -> None:
    assert exchange(api, request_bytes).startswith(status_line + b"\r\n")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /health HTTP/1.1\r\n\r\n",
        b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        HEAD + b"Content-Length: 99999999\r\n\r\n",
        HEAD + b"Content-Length: 5\r\n",
    ],
)
def test_refusal_is_a_problem_with_trace_and_date_and_without_product_name(
    hasty: InProcessServer, request_bytes: bytes
) -> None:
    head, _, body = hasty.exchange(request_bytes).partition(b"\r\n\r\n")
    names = {line.partition(b":")[0].lower() for line in head.split(b"\r\n")[1:]}
    assert b"Content-Type: application/problem+json" in head
    assert b"Connection: close" in head
    assert b"date" in names
    assert not {b"server", b"via", b"x-powered-by"} & names
    problem = json.loads(body)
    assert problem["status"] == int(head.split()[1])
    assert len(problem["trace_id"]) == 32


def test_refusal_is_logged_with_the_trace_and_the_client(api: Api) -> None:
    trace_id, amzn = "0af7651916cd43dd8448eb211c80319c", "Root=1-67891233-abcdef012345678912345678"
    request = HEAD + f"traceparent: 00-{trace_id}-b7ad6b7169203331-01\r\nX-Amzn-Trace-Id: {amzn}\r\n".encode()
    answer = exchange(api, request + b"X-Forwarded-For: 203.0.113.5\r\nContent-Length: 99999999\r\n\r\n")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["trace_id"] == trace_id
    until(lambda: any(line.get("trace_id") == trace_id for line in api.lines()))
    (line,) = [line for line in api.lines() if line.get("trace_id") == trace_id]
    assert (line["event"], line["client"], line["amzn_trace_id"]) == ("request refused", "203.0.113.5", amzn)


def test_pipelined_requests_are_answered_in_order_and_each_once(api: Api, aws: AwsStub) -> None:
    queued = sum(aws.messages.values())
    health = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answers = exchange(api, (HEAD + LENGTH + BODY + health) * 20 + last + health)
    assert [part[:3] for part in answers.split(b"HTTP/1.1 ")[1:]] == [b"200"] * 40 + [b"404"]
    assert answers.count(b'"healthy"') == answers.count(b'"success"') == 20
    assert sum(aws.messages.values()) == queued + 20


def test_trickling_body_is_refused_at_its_deadline(hasty: InProcessServer) -> None:
    with hasty.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 10000\r\n\r\n")
        stopping = threading.Event()

        def trickle() -> None:
            while not stopping.wait(0.1):
                try:
                    connection.send(b" ")
                except OSError:
                    return

        thread = threading.Thread(target=trickle)
        thread.start()
        began = time.monotonic()
        answer = connection.recv(65536)
        stopping.set()
        thread.join()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - began < 20


def test_half_closed_client_is_answered(api: Api) -> None:
    with api.connect() as connection:
        connection.sendall(HEAD + LENGTH + BODY)
        connection.shutdown(socket.SHUT_WR)
        assert read_all(connection).startswith(b"HTTP/1.1 200")


def test_large_response_to_a_slow_reader_arrives_completely(api: Api) -> None:
    with api.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(b"GET /docs/docs.js HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        received = b""
        while chunk := connection.recv(500):
            received += chunk
    assert received.partition(b"\r\n\r\n")[2] == (SERVICE / "src/service1_api/static/docs.js").read_bytes()


@pytest.mark.parametrize("path", [b"/health", b"/nowhere", b"/docs"])
@pytest.mark.parametrize(
    ("version", "option", "promised"),
    [
        (b"1.1", b"", None),
        (b"1.1", b"Connection: close\r\n", b"close"),
        (b"1.0", b"", b"close"),
        (b"1.0", b"Connection: keep-alive\r\n", b"Keep-Alive"),
    ],
)
def test_connection_header_matches_what_the_server_does(
    api: Api, path: bytes, version: bytes, option: bytes, promised: bytes | None
) -> None:
    request = b"GET " + path + b" HTTP/" + version + b"\r\nHost: x\r\n" + option + b"\r\n"
    with api.connect() as connection:
        connection.sendall(request)
        file = connection.makefile("rb")
        head = b"".join(iter(file.readline, b"\r\n"))
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        assert len(file.read(length)) == length
        assert (b"Connection: " + promised in head) if promised else b"Connection" not in head
        if promised == b"close":
            assert file.read() == b""
        else:
            connection.sendall(request)
            assert file.readline().startswith(b"HTTP/" + version)
        file.close()
