"""A limit on the bytes of objects that all lanes together have read and not yet stored."""

import threading
from collections import deque
from collections.abc import Callable, Sequence

_CHECK_SECONDS = 0.5


class ReadBudget:
    """Bytes that lanes take before they read and give back after they stored. First come, first served.

    A lane that waits holds nothing, so lanes cannot block each other. A size above the limit counts as the limit.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._free = limit_bytes
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()

    def take(self, sizes: Sequence[int], while_waiting: Callable[[], bool]) -> int:
        """Wait until the first size fits, take as many sizes as fit then, and return their number.

        Calls `while_waiting` twice a second; returns 0 as soon as that returns False.
        """
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                while self._waiting[0] is not ticket or self._counted(sizes[0]) > self._free:
                    self._changed.wait(_CHECK_SECONDS)
                    self._changed.release()  # the call may take long: other lanes go on
                    try:
                        goes_on = while_waiting()
                    finally:
                        self._changed.acquire()
                    if not goes_on:
                        return 0
                return self._take_fitting(sizes)
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()

    def give_back(self, sizes: Sequence[int]) -> None:
        """Return what `take` has taken for these sizes."""
        with self._changed:
            self._free += sum(map(self._counted, sizes))
            self._changed.notify_all()

    def _take_fitting(self, sizes: Sequence[int]) -> int:
        taken = 0
        for size in sizes:
            if self._counted(size) > self._free:
                break
            self._free -= self._counted(size)
            taken += 1
        return taken

    def _counted(self, size: int) -> int:
        return min(size, self._limit)
