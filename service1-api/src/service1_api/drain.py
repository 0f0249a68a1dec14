"""The drain: one flag in shared memory, set by gunicorn's arbiter on SIGTERM and seen by every worker."""

import mmap


class DrainFlag:
    """A flag that forked processes share: make it before they fork."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, 1)

    def set(self) -> None:
        """Tell every process that the service is draining."""
        self._page[0] = 1

    def is_set(self) -> bool:
        """Say whether the service is draining."""
        return self._page[0] == 1


# gunicorn.conf.py imports this in the arbiter, before any worker is forked; wsgi.py sees the same page in each worker.
FLAG = DrainFlag()
