"""The rate limit of a long command, in messages per second."""

import time
from collections.abc import Callable


class Pace:
    """Spreads steps evenly over time; without a rate nothing waits."""

    def __init__(
        self,
        rate: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._next = 0.0

    def wait(self, steps: int = 1) -> None:
        """Wait until the steps that were announced before are due, then announce `steps` more.

        Time that was not used is not made up for.
        """
        if not self._rate:
            return
        now = self._clock()
        if self._next > now:
            self._sleep(self._next - now)
        self._next = max(self._next, now) + steps / self._rate
