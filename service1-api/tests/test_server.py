"""The service as a process: how gunicorn, its worker and its configuration handle requests and signals."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.testing.waiting import eventually as until
from service1_api.server.head import MAX_HEAD_BYTES

from .aws_stub import AwsStub
from .fakes import TOKEN
from .in_process import InProcessServer
from .server import BODY, SERVICE, Api, exchange, read_all, running

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # where gunicorn.conf.py puts the metrics of several workers
HEAD = b"POST /api/message HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
LAST = b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(BODY)
HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def api(aws: AwsStub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One service for the tests that do not change it."""
    folder, budget = tmp_path_factory.mktemp("api"), 4 * 1024 * 1024
    with running(aws, folder, LOG_LEVEL="DEBUG", MAX_BODY_BYTES_IN_FLIGHT=str(budget)) as api:
        yield api


def read_answer(connection: socket.socket) -> bytes:
    """Return one response with a Content-Length; read no byte of the next one."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += received(connection, 1)
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    body = b""
    while len(body) < length:
        body += received(connection, length - len(body))
    return head + body


def received(connection: socket.socket, size: int) -> bytes:
    chunk = connection.recv(size)
    assert chunk, "the server closed the connection"
    return chunk


def code_in(answer: bytes) -> str:
    assert b"Content-Type: application/problem+json" in answer
    return answer.partition(b'"code":"')[2].partition(b'"')[0].decode()


def test_email_is_queued(api: Api, aws: AwsStub) -> None:
    status, answer = api.post()
    assert status == 200
    assert aws.messages[answer["message_id"]] == 1


def test_requests_share_a_connection_even_split_and_joined(api: Api) -> None:
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    with api.connect() as connection:
        connection.sendall(request + request + request[:70])
        assert read_answer(connection).startswith(b"HTTP/1.1 200")
        assert read_answer(connection).startswith(b"HTTP/1.1 200")
        connection.sendall(request[70:])
        assert read_answer(connection).startswith(b"HTTP/1.1 200")


def test_chunked_body_is_accepted(api: Api) -> None:
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(BODY[at : at + 50]), BODY[at : at + 50]) for at in range(0, len(BODY), 50))
    request = HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + chunks + b"0\r\n\r\n"
    assert exchange(api, *[request[at : at + 40] for at in range(0, len(request), 40)]).startswith(b"HTTP/1.1 200")


def test_expect_100_continue_is_answered_once(api: Api) -> None:
    with api.connect() as connection:
        connection.sendall(
            HEAD + b"Expect: 100-continue\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(BODY)
        )
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(BODY)
        assert read_all(connection).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("request_bytes", "code"),
    [
        (b"GARBAGE\r\n\r\n", "malformed_request"),
        (b"GET / HTTP/1.1\r\nBad Header: x\r\n\r\n", "malformed_request"),
        (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\n\r\n", "uri_too_long"),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 9000 + b"\r\n\r\n", "headers_too_large"),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * MAX_HEAD_BYTES, "headers_too_large"),
        (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}", "malformed_request"),
        (HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", "malformed_request"),
        (HEAD + b"Transfer-Encoding: gzip\r\n\r\n{}", "malformed_request"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n", "malformed_request"),
        (HEAD + b"Content-Length: 99999999\r\n\r\n", "too_large"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFF\r\n", "too_large"),
        (HEAD + b"Content-Length: 50\r\n", "request_timeout"),
        (HEAD + b"Content-Length: 50\r\n\r\n{", "request_timeout"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n", "request_timeout"),
    ],
)
def test_unreadable_request_is_refused_with_a_problem_that_quotes_nothing(
    api: Api, hasty: InProcessServer, request_bytes: bytes, code: str
) -> None:
    answer = hasty.exchange(request_bytes) if code == "request_timeout" else exchange(api, request_bytes)
    assert code_in(answer) == code
    assert b"Connection: close" in answer
    assert b"GARBAGE" not in answer
    assert b"Bad Header" not in answer


def test_log_lines_are_json_without_the_token(api: Api) -> None:
    api.post()
    exchange(api, b"GET /" + TOKEN.encode() + b" HTTP/1.1\r\nBad " + TOKEN.encode() + b": x\r\n\r\n")
    until(lambda: any(line["event"] == "request refused" for line in api.lines()))
    assert {line["service"] for line in api.lines()} == {"service1-api"}
    assert TOKEN not in api.log.read_text()


def test_stalled_clients_occupy_no_thread(hasty: InProcessServer) -> None:
    """More connections than threads, half of them without an end to their headers, half without a body."""
    stalled = [hasty.connect() for _ in range(160)]
    for number, connection in enumerate(stalled):
        connection.sendall(HEAD + (b"Content-Length: 500\r\n\r\n{" if number % 2 else b""))
    for _ in range(5):
        began = time.monotonic()
        assert hasty.exchange(HEALTH).startswith(b"HTTP/1.1 200")
        assert hasty.exchange(HEAD, LAST, BODY).startswith(b"HTTP/1.1 200")
        assert time.monotonic() - began < 10  # a server with a thread per connection takes 40 s
    assert {code_in(read_all(connection)) for connection in stalled} == {"request_timeout"}
    for connection in stalled:
        connection.close()


def test_refused_client_that_does_not_close_delays_no_other(api: Api) -> None:
    refused = [api.connect() for _ in range(20)]
    for connection in refused:
        connection.sendall(b"GARBAGE\r\n\r\n")
    began = time.monotonic()
    assert api.request("GET", "/health")[0] == 200
    assert time.monotonic() - began < 10
    for connection in refused:
        connection.close()


def test_bodies_above_the_budget_are_refused_and_memory_stays_bounded(api: Api) -> None:
    before = len(api.lines())
    connections = [api.connect() for _ in range(12)]
    for connection in connections:
        connection.sendall(HEAD + b"Content-Length: 1000000\r\n\r\n")
        connection.sendall(b'"' + b"a" * 900_000)
    until(lambda: any(line.get("code") == "overloaded" for line in api.lines()[before:]))
    assert {api.post()[0] for _ in range(20)} == {200}  # small requests are not shut out by large ones
    for connection in connections:
        connection.close()


def test_workers_share_their_metrics_and_leave_no_files(aws: AwsStub, tmp_path: Path) -> None:
    with running(aws, tmp_path, WORKERS="2") as api:
        (folder,) = SHARED_MEMORY.glob(f"service1-api-metrics-{api.process.pid}-*")
        until(lambda: [line["event"] for line in api.lines()].count("token loaded") == 2)  # both workers are ready
        for _ in range(20):
            assert api.post()[0] == 200
        children = Path(f"/proc/{api.process.pid}/task/{api.process.pid}/children")
        workers = {int(pid) for pid in children.read_text().split()}
        assert len(workers) == 2

        def metrics() -> str:
            text: str = api.request("GET", "/metrics")[1]["text"]
            return text

        assert 'pillarbox_api_requests_total{route="/api/message",status="200"} 20.0' in metrics()
        assert "\nprocess_resident_memory_bytes " in metrics()
        assert "\npython_info{" in metrics()
        killed = workers.pop()
        until(lambda: list(folder.glob(f"gauge_live*_{killed}.db")))  # once it has started
        os.kill(killed, signal.SIGKILL)
        until(lambda: not list(folder.glob(f"gauge_live*_{killed}.db")))
        assert 'pillarbox_api_requests_total{route="/api/message",status="200"} 20.0' in metrics()
        assert api.stop() == 0
        assert not folder.exists()


def test_invalid_settings_exit_with_2_and_one_line_each() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "gunicorn", "--config", "gunicorn.conf.py", "service1_api.wsgi:app"],
        cwd=SERVICE,
        env={"PATH": os.environ["PATH"], "PORT": "hunter2"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert ended.returncode == 2
    assert [line.partition(":")[0] for line in ended.stderr.splitlines()] == ["AWS_REGION", "SQS_QUEUE_URL", "PORT"]
    assert "hunter2" not in ended.stderr + ended.stdout
