"""The worker: it serves the application with waitress, answers what it has accepted, and ends."""

import os
import signal
import threading
from collections.abc import Iterable

import pytest

from common.testing.waiting import eventually as until
from service1_api.server import WaitressWorker, connections

from .conftest import Service
from .in_process import read_all, serving

HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
LAST_HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def test_worker_serves_the_application(service: Service) -> None:
    with serving(service.app) as server:
        assert server.exchange(LAST_HEALTH).startswith(b"HTTP/1.1 200 OK\r\n")


def test_worker_accepts_many_connections_in_one_turn(service: Service) -> None:
    with serving(service.app) as server:
        connections = [server.connect() for _ in range(50)]
        until(lambda: server.connections == 50)
        for connection in connections:
            connection.close()
        until(lambda: server.connections == 0)


def test_worker_notifies_the_arbiter(service: Service) -> None:
    with serving(service.app) as server:
        os.utime(server.worker.tmp.fileno(), (1, 1))
        until(lambda: server.worker.tmp.last_update() > 1)


def test_stop_answers_the_request_being_handled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_STOPPING_IDLE_SECONDS", 0.1)
    entered, may_answer = threading.Event(), threading.Event()

    def application(_environ: object, start_response: object) -> Iterable[bytes]:
        entered.set()
        assert may_answer.wait(10)
        start_response("200 OK", [("Content-Length", "2")])  # type: ignore[operator]
        return [b"ok"]

    with serving(with_rejections(application)) as server, server.connect() as connection:
        connection.sendall(HEALTH)
        assert entered.wait(10)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        until(lambda: server.worker._connections.stopping)
        may_answer.set()
        answer = read_all(connection)
        stopping.join(10)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


def test_stop_answers_one_more_request_of_an_idle_connection(service: Service) -> None:
    with serving(service.app) as server, server.connect() as connection:
        until(lambda: server.connections == 1)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        until(lambda: server.worker._connections.stopping)
        connection.sendall(HEALTH)
        head = read_all(connection).partition(b"\r\n\r\n")[0]
        stopping.join(10)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Connection: close" in head.split(b"\r\n")


def test_stopped_worker_refuses_connections(service: Service) -> None:
    with serving(service.app) as server:
        server.stop()
        with pytest.raises(ConnectionRefusedError):
            server.connect()


def test_worker_ends_when_its_arbiter_has_died(service: Service) -> None:
    with serving(service.app) as server, server.connect() as idle:
        until(lambda: server.connections == 1)
        server.worker.ppid = -1
        server._thread.join(10)
        assert not server._thread.is_alive()
        assert server.worker.alive
        idle.settimeout(10)
        assert idle.recv(1) == b""


def test_signal_that_comes_before_the_server_exists_is_kept() -> None:
    worker = object.__new__(WaitressWorker)
    worker.alive = True
    worker.handle_exit(signal.SIGTERM, None)
    assert not worker.alive


def with_rejections(application: object) -> object:
    application.extensions = Service().app.extensions  # type: ignore[attr-defined]
    return application
