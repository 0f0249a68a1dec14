"""The worker's threads, and the way back to its main thread: a fixed pool without the cost of a Future a request."""

import logging
import os
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

from gunicorn.workers.gthread import PollableMethodQueue  # type: ignore[import-untyped]

log = logging.getLogger(__name__)


class HandlerPool:
    """Threads that hand each connection from one queue to `handle`, and its result to `done`."""

    def __init__(self, threads: int, handle: Callable[[Any], object], done: Callable[[Any, bool], None]) -> None:
        self._handle = handle
        self._done = done
        self._connections: SimpleQueue[Any] = SimpleQueue()
        for number in range(threads):
            threading.Thread(target=self._run, name=f"request-{number}", daemon=True).start()

    def submit(self, connection: object) -> None:
        """Have a connection handled by the next free thread."""
        self._connections.put(connection)

    def shutdown(self, *, wait: bool) -> None:
        """Be called by gunicorn when the worker ends; daemon threads end with it."""

    def _run(self) -> None:
        while True:
            connection, keep = self._connections.get(), False
            try:
                keep = bool(self._handle(connection))
            except BaseException as exc:  # noqa: BLE001  # top of the thread: it must outlive any request
                log.error("request ended its thread's work", extra={"exception_type": type(exc).__name__})
            finally:
                self._done(connection, keep)


class WakeOnceQueue(PollableMethodQueue):  # type: ignore[misc]
    """gunicorn's queue of calls for the main thread, which is woken once for all that wait, not once for each."""

    _woken = False

    def defer(self, callback: Callable[..., None], *args: object) -> None:
        """Have the main thread call this soon."""
        self._queue.put((callback, args))
        if not self._woken:
            self._woken = True
            try:
                os.write(self._write_fd, b"\0")
            except BlockingIOError:  # the pipe is full of wake-ups already
                return

    def run_callbacks(self, _fileobj: object, max_callbacks: int = 4096) -> None:
        """Make the calls that wait; in this order, for what is put after the flag falls wakes the main thread again."""
        os.read(self._read_fd, max_callbacks)
        self._woken = False
        while True:
            try:
                callback, args = self._queue.get_nowait()
            except Empty:
                return
            callback(*args)
