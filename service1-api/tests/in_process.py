"""The HTTP server in the test's process: gunicorn's worker class runs in a thread instead of a forked process."""

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from gunicorn.config import Config  # type: ignore[import-untyped]
from waitress.wasyncore import close_all  # type: ignore[import-untyped]

from common.testing.waiting import eventually as until
from service1_api.server import Limits, WaitressWorker

LIMITS = Limits(
    head_seconds=10,
    body_seconds=30,
    keepalive_seconds=75,
    max_body_bytes=1_000_000,
    max_held_bytes=4_000_000,
    max_connections=100,
)


class Listener:
    """A listening socket in the form in which gunicorn passes it to a worker."""

    def __init__(self) -> None:
        self.sock = socket.create_server(("127.0.0.1", 0))


class InProcessServer:
    """A worker that serves an application from a thread."""

    def __init__(self, application: Any, **limits: float) -> None:
        listener = Listener()
        self.port: int = listener.sock.getsockname()[1]
        config = Config()
        config.set("threads", 4)
        config.set("graceful_timeout", 10)
        worker_class = type("Worker", (WaitressWorker,), {"limits": replace(LIMITS, **limits)})  # type: ignore[arg-type]
        self.worker = worker_class(1, os.getppid(), [listener], None, 30, config, logging.getLogger("gunicorn"))
        self.worker.wsgi = application
        self._thread = threading.Thread(target=self.worker.run)
        self._thread.start()
        until(lambda: self.worker._server is not None)

    @property
    def connections(self) -> int:
        return len(self.worker._connections.open)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 30)

    def exchange(self, *pieces: bytes) -> bytes:
        """Send pieces, one after the other, and return all bytes until the server closes."""
        with self.connect() as connection:
            for piece in pieces:
                connection.sendall(piece)
            return read_all(connection)

    def stop(self) -> None:
        """Stop as on SIGTERM; return when the worker has ended."""
        self.worker.handle_exit(signal.SIGTERM, None)
        self._thread.join(30)
        assert not self._thread.is_alive()

    def close(self) -> None:
        self.stop()
        self.worker._server.task_dispatcher.shutdown()
        close_all(self.worker._sockets)
        self.worker.tmp.close()


@contextlib.contextmanager
def serving(application: Any, **limits: float) -> Iterator[InProcessServer]:
    """Serve an application until the block ends; `limits` replace those of LIMITS."""
    with waitress_loggers_restored():
        server = InProcessServer(application, **limits)
        try:
            yield server
        finally:
            server.close()


@contextlib.contextmanager
def waitress_loggers_restored() -> Iterator[None]:
    """Restore the levels and filters of waitress's loggers."""
    loggers = [logging.getLogger(name) for name in ("waitress", "waitress.queue")]
    before = [(logger.level, list(logger.filters)) for logger in loggers]
    yield
    for logger, (level, filters) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.filters[:] = filters


def read_all(connection: socket.socket) -> bytes:
    """Return all bytes until the server closes."""
    return b"".join(iter(lambda: connection.recv(65536), b""))
