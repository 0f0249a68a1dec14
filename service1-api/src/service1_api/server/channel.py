"""One client connection: deadlines, one request at a time, and a close that does not discard the response."""

import socket
import time
from typing import TYPE_CHECKING, Any

from waitress.channel import HTTPChannel  # type: ignore[import-untyped]

from service1_api.problems import Problem
from service1_api.server.answers import ApplicationAnswer, RefusalAnswer
from service1_api.server.request import Request

if TYPE_CHECKING:
    from service1_api.server.connections import Connections

_RECEIVE_BYTES = 16 * 1024  # enough for most requests; each call allocates a buffer of this size
_BODY_RECEIVE_BYTES = 128 * 1024
_LINGER_SECONDS = 2.0
_ANSWER_SECONDS = 30.0  # for a client to read its response


class Channel(HTTPChannel):  # type: ignore[misc]  # waitress's classes are untyped
    """A connection of the worker. `service` runs in a thread of the pool, everything else in the main thread."""

    task_class = ApplicationAnswer
    error_task_class = RefusalAnswer
    request: Request | None

    def __init__(self, *arguments: Any, connections: "Connections", map: Any) -> None:  # noqa: A002  # waitress's name
        self.connections = connections
        self.since = time.monotonic()  # start of the present state
        self.began = 0.0  # arrival of the first byte of the request being received
        self.served = False  # whether a request has been answered by the application
        self.lingers = False
        self._refused = False
        self._read_ahead = b""
        super().__init__(*arguments, map=map)
        connections.add(self)

    def parser_class(self, adjustments: Any) -> Request:
        """Return the parser of the next request."""
        limits = self.connections.limits
        self._parser = Request(adjustments, limits.max_body_bytes, self.connections.budget)
        return self._parser

    def readable(self) -> bool:
        """Return whether to wait for bytes. Bytes read ahead are parsed first, after the last response is written."""
        if self.lingers:
            return True
        if self._read_ahead and super().readable():
            self.received(b"")
        return bool(super().readable())

    def writable(self) -> bool:
        """Return whether there is something to write, or a close to perform."""
        return not self.lingers and bool(super().writable())

    def handle_read(self) -> None:
        """Receive once; discard bytes after the last request."""
        try:
            data = self.recv(self._receive_bytes())
        except OSError:
            self.handle_close()
            return
        if data and not self.lingers:
            self.received(data)

    def received(self, data: bytes) -> bool:
        """Parse the received bytes up to the end of one request, and let a thread answer it."""
        if self._refused or self.requests:
            return False
        data, self._read_ahead = self._read_ahead + data, b""
        if self.request is None:
            self.began = time.monotonic()
        elif self.connections.has_room(self, len(data)):
            self.request.hold(len(data))
        else:
            return False
        super().received(data)
        self._read_ahead = self._parser.read_ahead
        if self.request is not None and not self.request.held_bytes:
            self.request.hold(len(data))
        return True

    def handle_write(self) -> None:
        """Write. After the last response half-close and linger: a reset could discard the response at the client."""
        if not self.close_when_flushed:
            super().handle_write()
            return
        self._flush_exception(self._flush_some)
        if self.will_close:
            self.handle_close()
        elif self.connected and not self.total_outbufs_len:
            self._linger()

    def handle_close(self) -> None:
        """Close at once and abandon the request being received."""
        self.connections.remove(self)
        if self.request is not None:
            self.request.close()
        super().handle_close()

    def handle_expt(self) -> None:
        """Close a connection that sends urgent data: HTTP does not use it, and it would wake the poll continuously."""
        self.handle_close()

    def service(self) -> None:
        """Answer the request; a thread of the pool calls this."""
        refused = self.requests[0].error
        self.since = time.monotonic()
        super().service()
        self.since = time.monotonic()
        self.served = self.served or not refused

    def refuse(self, problem: Problem) -> None:
        """Answer the request being received with a problem; ignore the rest of it."""
        with self.requests_lock:
            request, self.request = self.request, None
            if request is None or self.requests:  # a thread has it already: it must not get two responses
                return
            self._refused = True
            request.refuse(problem)
            request.close()
            self.requests.append(request)
        self.server.add_task(self)

    def expire(self, now: float) -> None:
        """End what has exceeded its time: a request being received, an unread response, idleness, lingering."""
        waited, limits = now - self.since, self.connections.limits
        if self.requests:
            return
        if self.lingers or self.total_outbufs_len:
            if waited >= (_LINGER_SECONDS if self.lingers else _ANSWER_SECONDS):
                self.handle_close()
        elif self.request is not None:
            arriving = now - self.began
            allowed = limits.body_seconds if self.request.headers_finished else limits.head_seconds
            if arriving >= min(allowed, self.connections.arriving_seconds):
                self.refuse(Problem("request_timeout", "the request did not arrive in time"))
        elif waited >= self.connections.idle_seconds:
            self.handle_close()

    def _receive_bytes(self) -> int:
        """Return how much to receive: no more than the body still needs, because bytes read ahead are not counted."""
        body = self.request and self.request.body_rcv
        return min(getattr(body, "remain", 0) + _RECEIVE_BYTES, _BODY_RECEIVE_BYTES)

    def _linger(self) -> None:
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.handle_close()
            return
        self.lingers, self.since = True, time.monotonic()
