"""One connection: one request at a time, deadlines, and a close that does not discard the response."""

import contextlib
import json
import socket
import threading
import time
from typing import Any

import pytest

from common.testing.waiting import eventually as until
from service1_api.problems import Problem
from service1_api.server import channel as channel_module
from service1_api.server.channel import Channel

from .conftest import Service
from .in_process import InProcessServer, read_all, serving

HEAD = b"POST /api/message HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
LAST_HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def channel_of(server: InProcessServer) -> Channel:
    until(lambda: server.connections == 1)
    (channel,) = server.worker._connections.open
    return channel  # type: ignore[no-any-return]


def problem_in(answer: bytes) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return document


@pytest.mark.parametrize(
    ("limits", "sent"),
    [({"head_seconds": 0.1}, HEAD), ({"body_seconds": 0.1}, HEAD + b"Content-Length: 500\r\n\r\n{")],
    ids=["head", "body"],
)
def test_request_that_does_not_arrive_in_time_is_refused(
    service: Service, limits: dict[str, float], sent: bytes
) -> None:
    with serving(service.app, **limits) as server:
        answer = server.exchange(sent)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert problem_in(answer)["code"] == "request_timeout"


def test_idle_connection_is_closed_after_the_keep_alive_time(service: Service) -> None:
    with serving(service.app, keepalive_seconds=0.1) as server, server.connect() as connection:
        assert read_all(connection) == b""


def test_bytes_of_a_request_are_released_after_its_response(service: Service) -> None:
    with serving(service.app) as server, server.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 50000\r\n\r\n")
        connection.sendall(b" " * 40_000)
        budget = server.worker._connections.budget
        until(lambda: budget._taken >= 40_000)
        connection.sendall(b" " * 10_000)
        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")
        until(lambda: budget._taken == 0)


def test_request_that_exceeds_the_bytes_of_the_worker_is_refused(service: Service) -> None:
    with serving(service.app, max_held_bytes=200_000) as server:
        answer = server.exchange(HEAD + b"Content-Length: 900000\r\n\r\n", b" " * 400_000)
    assert problem_in(answer)["code"] == "overloaded"


def test_request_that_a_thread_has_is_not_refused_again(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = service.app.wsgi_app
    begun, refused = threading.Event(), threading.Event()

    def slow(environ: Any, start_response: Any) -> Any:
        begun.set()
        assert refused.wait(30)
        return answer(environ, start_response)

    monkeypatch.setattr(service.app, "wsgi_app", slow)
    with serving(service.app) as server, server.connect() as connection:
        channel = channel_of(server)
        connection.sendall(LAST_HEALTH)
        assert begun.wait(30)
        channel.refuse(Problem("overloaded", "too late"))
        refused.set()
        answers = read_all(connection)
    assert (answers.startswith(b"HTTP/1.1 200 "), answers.count(b"HTTP/1.1 ")) == (True, 1)


def test_upload_lasts_as_long_as_its_own_deadline_allows(service: Service) -> None:
    with serving(service.app) as server, server.connect() as connection:
        channel = channel_of(server)
        connection.sendall(HEAD + b"Content-Length: 100\r\n\r\n")
        until(lambda: channel.request is not None)
        server.worker._server.maintenance(time.time() + 1000)
        assert not channel.will_close


def test_response_arrives_although_the_client_still_sends(service: Service) -> None:
    with serving(service.app) as server, server.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 99999999\r\n\r\n")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(20):
                connection.sendall(b" " * 10_000)
        assert read_all(connection).startswith(b"HTTP/1.1 413 ")


def test_connection_lingers_after_the_last_response_for_a_limited_time(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_module, "_LINGER_SECONDS", 1000)
    with serving(service.app) as server, server.connect() as connection:
        channel = channel_of(server)
        connection.sendall(b"GARBAGE\r\n\r\n")
        read_all(connection)
        until(lambda: channel.lingers)
        channel.expire(channel.since)
        assert channel.connected
        monkeypatch.setattr(channel_module, "_LINGER_SECONDS", 0)
        until(lambda: server.connections == 0, timeout_seconds=20)


def test_urgent_data_closes_the_connection(service: Service) -> None:
    with serving(service.app) as server, server.connect() as connection:
        channel_of(server)
        connection.send(b"!", socket.MSG_OOB)
        with contextlib.suppress(ConnectionResetError):  # the byte is left unread
            assert connection.recv(1024) == b""
        until(lambda: server.connections == 0)


def test_channel_records_that_it_was_served(service: Service) -> None:
    with serving(service.app) as server, server.connect() as connection:
        channel = channel_of(server)
        assert not channel.served
        connection.sendall(HEALTH)
        assert connection.recv(65536)
        until(lambda: channel.served)
        assert channel.since <= time.monotonic()
