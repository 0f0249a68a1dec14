"""The drain: on SIGTERM the service reports not ready and continues to serve for a while before it stops."""

import mmap
import os
import signal
from typing import Any


class DrainFlag:
    """A flag shared by forked processes. Create it before the fork."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, 1)

    def set(self) -> None:
        """Set the flag for every process."""
        self._page[0] = 1

    def is_set(self) -> bool:
        """Return whether the service is draining."""
        return self._page[0] == 1


# gunicorn.conf.py imports this in the arbiter, before any worker is forked; wsgi.py sees the same page in each worker.
FLAG = DrainFlag()


def drain_before_stop(arbiter: Any, seconds: float) -> None:
    """Make SIGTERM and SIGINT set the flag and stop the arbiter `seconds` later; a second signal stops it at once.

    When gunicorn stops, it closes its listeners first, so a probe could never see /ready return 503.
    """

    def stop(*_: Any) -> None:
        arbiter.signal(signal.SIGTERM, None)

    def drain(*_: Any) -> None:
        if os.getpid() != arbiter.pid:
            # A new worker inherits these handlers until it sets its own. It serves no request yet, so it can end at
            # once. gunicorn sends the signal only once; if the worker ignored it, gunicorn would wait for its timeout.
            os._exit(0)
        second = FLAG.is_set()
        FLAG.set()
        if second or not seconds:
            stop()
            return
        signal.setitimer(signal.ITIMER_REAL, seconds)

    signal.signal(signal.SIGALRM, stop)
    signal.signal(signal.SIGTERM, drain)
    signal.signal(signal.SIGINT, drain)
