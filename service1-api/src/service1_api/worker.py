"""The gunicorn worker: requests are gathered whole by the accepting thread before one of the pool's threads sees them.

gunicorn's own gthread gives a thread to a connection that has sent one byte, and lets its accepting thread linger on
connections that are closing; clients that trickle or stall then hold every thread. Here they hold only their bytes.
"""

import contextlib
import errno
import logging
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker  # type: ignore[import-untyped]

from service1_api.connection import Connection, Limits, closing_response, problem_of
from service1_api.error_handlers import REJECTIONS
from service1_api.errors import Problem
from service1_api.framing import MAX_HEAD_BYTES, Progress
from service1_api.pool import HandlerPool, WakeOnceQueue
from service1_api.wire import in_one_send

_FIRST_RECEIVE_BYTES = 16 * 1024  # most requests; each call pays for its buffer, used or not
_RECEIVE_BYTES = 256 * 1024
_LINGER_SECONDS = 2.0
_CHECK_SECONDS = 0.25
_STOPPING_SECONDS = 5.0  # what a request that is arriving gets when the worker stops

log = logging.getLogger(__name__)


class BufferingWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn's classes are untyped
    """A gthread worker whose threads never wait for a client; a subclass says the limits.

    A connection is in one of five places: idle (`keepalived_conns`), arriving (`pending_conns`), handed to a thread,
    closing (lingering until the client has read the answer), or gone. All but the threads' work is the main thread's.
    """

    limits: Limits

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.method_queue = WakeOnceQueue()
        self._held_bytes = 0
        self._closing: deque[Connection] = deque()
        self._next_check = 0.0

    def accept(self, listener: Any) -> None:
        """Take a new connection, and make room for the next."""
        try:
            sock, client = listener.accept()
        except OSError as exc:
            if exc.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                self._make_room()
            elif exc.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                raise
            return
        self.nr_conns += 1
        self._receive(Connection(self.cfg, sock, client, listener.getsockname(), self.limits.max_body_bytes))
        if self.nr_conns >= self.worker_connections:
            self._make_room()

    def set_accept_enabled(self, enabled: bool) -> None:
        """Switch accepting; when stopping, first take who has connected already, then let nobody else connect."""
        if enabled or self.alive:
            super().set_accept_enabled(enabled)
            return
        super().set_accept_enabled(enabled)
        for listener in self.sockets:
            accepted = -1
            while accepted != self.nr_conns:
                accepted = self.nr_conns
                self.accept(listener)
            listener.close()
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, time.monotonic() + _STOPPING_SECONDS)

    def get_thread_pool(self) -> HandlerPool:
        """Start the threads."""
        return HandlerPool(self.cfg.threads, self.handle, partial(self.method_queue.defer, self.finish_request))

    def enqueue_req(self, conn: Connection) -> None:
        """Hand a whole request to a thread."""
        self.tpool.submit(conn)

    def finish_request(self, conn: Connection, keep: bool) -> None:
        """Wait for the next request of a connection that a thread is done with, or close it."""
        self._release(conn)
        if not keep:
            self._close(conn)
            return
        read_ahead = conn.parser.unreader.take_buffered()
        conn.expect_request()
        if read_ahead:
            self._received(conn, read_ahead)
        else:
            self._wait(conn)

    def handle_request(self, req: Any, conn: Connection) -> object:
        """Run the application, in one of the pool's threads."""
        req._expected_100_continue = False  # noqa: SLF001  # the body is here already, or not wanted
        if conn.body_left_unread:
            req.force_close()
        return in_one_send(super().handle_request, req, conn)

    def handle_error(self, _req: Any, client: socket.socket, _addr: Any, exc: Exception) -> None:
        """Answer a request that gunicorn's parser refuses; its own text would echo the input."""
        self._answer(client, problem_of(exc))

    def murder_pending(self) -> None:
        """Refuse requests that take too long to arrive, and end what has lingered long enough."""
        now = time.monotonic()
        if now < self._next_check:
            return
        self._next_check = now + _CHECK_SECONDS
        for conn in [conn for conn in self.pending_conns if conn.timeout <= now]:
            self._stop_waiting(conn)
            self._refuse(conn, Problem("request_timeout", "the request did not arrive in time"))
        while self._closing and self._closing[0].timeout <= now:
            self._drop(self._closing[0])

    def _receive(self, conn: Connection) -> None:
        try:
            data = conn.sock.recv(_RECEIVE_BYTES if conn.received else _FIRST_RECEIVE_BYTES)
        except BlockingIOError:
            self._wait(conn)
            return
        except OSError:
            data = b""
        if data:
            self._received(conn, data)
        else:
            self._drop(conn)

    def _received(self, conn: Connection, data: bytes) -> None:
        conn.began = conn.began or time.monotonic()
        conn.received += data
        conn.held_bytes += len(data)
        self._held_bytes += len(data)
        progress = conn.framing.progress(conn.received)
        if self._held_bytes > self.limits.max_held_bytes and self._gave_up_the_greediest(conn) is conn:
            return
        if progress is Progress.HEAD:
            self._wait(conn, conn.began + self.limits.head_seconds)
        elif progress is Progress.BODY:
            self._tell_to_continue(conn)
            self._wait(conn, conn.began + self.limits.body_seconds)
        elif progress is Progress.HEAD_TOO_LARGE:
            self._refuse(conn, Problem("headers_too_large", f"headers are at most {MAX_HEAD_BYTES} bytes"))
        elif progress is Progress.CHUNKS_TOO_LARGE:
            self._refuse(conn, Problem("too_large", f"a request body is at most {self.limits.max_body_bytes} bytes"))
        else:
            conn.body_left_unread = progress is not Progress.WHOLE
            conn.parser.unreader.unread(bytes(conn.received))
            conn.received = bytearray()
            self.enqueue_req(conn)

    def _tell_to_continue(self, conn: Connection) -> None:
        if conn.framing.expects_continue and not conn.told_to_continue:
            conn.told_to_continue = True
            with contextlib.suppress(OSError):  # a client that has gone is noticed when it is read from
                conn.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _wait(self, conn: Connection, until: float | None = None) -> None:
        """Wait for more of a request until its deadline; without one, for a request to begin."""
        conn.timeout = until or time.monotonic() + (self.cfg.keepalive if self.alive else STOP_KEEPALIVE_LINGER)
        self._wait_in(self.pending_conns if until else self.keepalived_conns, conn, self._readable)

    def _wait_in(self, place: "deque[Connection]", conn: Connection, callback: Callable[..., None]) -> None:
        place.append(conn)
        conn.waits_in = place
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(callback, conn))

    def _stop_waiting(self, conn: Connection) -> bool:
        """Take a connection out of its place; false if it is in none, for one event may have evicted it by another."""
        if conn.waits_in is None:
            return False
        self.poller.unregister(conn.sock)
        conn.waits_in.remove(conn)
        conn.waits_in = None
        return True

    def _readable(self, conn: Connection, _sock: object) -> None:
        if self._stop_waiting(conn):
            self._receive(conn)

    def _make_room(self) -> None:
        """Give up the connection that is worth least: closing, arriving or idle, the oldest first."""
        if self._closing:
            self._drop(self._closing[0])
        elif self.pending_conns:
            conn = self.pending_conns[0]
            self._stop_waiting(conn)
            self._refuse(conn, Problem("overloaded", "too many connections"))
            self._drop(conn)
        elif self.keepalived_conns:
            self._drop(self.keepalived_conns[0])

    def _gave_up_the_greediest(self, newest: Connection) -> Connection:
        """Refuse the arriving request that holds most of the budget: large ones must not shut out small ones."""
        greediest: Connection = max([newest, *self.pending_conns], key=lambda conn: conn.held_bytes)
        self._stop_waiting(greediest)
        self._refuse(greediest, Problem("overloaded", "too many bytes of requests are being handled"))
        return greediest

    def _refuse(self, conn: Connection, problem: Problem) -> None:
        self._answer(conn.sock, problem)
        self._close(conn)

    def _answer(self, sock: socket.socket, problem: Problem) -> None:
        self.wsgi.extensions[REJECTIONS].labels(problem.code).inc()
        log.info("request refused", extra={"status": problem.status, "code": problem.code})
        with contextlib.suppress(OSError):  # the client has gone, or does not read: nothing is lost
            sock.send(closing_response(problem))

    def _close(self, conn: Connection) -> None:
        """Half-close, and linger until the client has closed too: a reset could cost it the answer (RFC 9112, 9.6)."""
        self._release(conn)
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(conn)
            return
        conn.timeout = time.monotonic() + _LINGER_SECONDS
        self._wait_in(self._closing, conn, self._discard)

    def _discard(self, conn: Connection, sock: socket.socket) -> None:
        try:
            gone = conn.waits_in is not None and not sock.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            gone = True
        if gone:
            self._drop(conn)

    def _drop(self, conn: Connection) -> None:
        self._stop_waiting(conn)
        self._release(conn)
        self.nr_conns -= 1
        conn.close()

    def _release(self, conn: Connection) -> None:
        self._held_bytes -= conn.held_bytes
        conn.held_bytes = 0
