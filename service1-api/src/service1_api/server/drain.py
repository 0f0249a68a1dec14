"""The drain: on SIGTERM the service says that it is not ready, and serves on for a while before it stops."""

import mmap
import os
import signal
from typing import Any


class DrainFlag:
    """A flag that forked processes share: make it before they fork."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, 1)

    def set(self) -> None:
        """Tell every process that the service is draining."""
        self._page[0] = 1

    def is_set(self) -> bool:
        """Return whether the service is draining."""
        return self._page[0] == 1


# gunicorn.conf.py imports this in the arbiter, before any worker is forked; wsgi.py sees the same page in each worker.
FLAG = DrainFlag()


def drain_before_stop(arbiter: Any, seconds: float) -> None:
    """Let SIGTERM and SIGINT set the flag, and stop the arbiter that many seconds later; a second signal stops it.

    gunicorn closes its listeners before anything else when it stops, so that no probe could see /ready turn 503.
    """

    def stop(*_: Any) -> None:
        arbiter.signal(signal.SIGTERM, None)

    def drain(*_: Any) -> None:
        if os.getpid() != arbiter.pid:
            # A worker inherits these handlers and has not set its own yet. It serves nobody, so it can end at once;
            # gunicorn sends the signal only once, and a worker that missed it would be waited for in vain.
            os._exit(0)
        if FLAG.is_set() or not seconds:
            stop()
            return
        FLAG.set()
        signal.setitimer(signal.ITIMER_REAL, seconds)

    signal.signal(signal.SIGALRM, stop)
    signal.signal(signal.SIGTERM, drain)
    signal.signal(signal.SIGINT, drain)
