"""Waiting: the clock as a parameter, and exponential back-off with jitter."""

import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Time, so that tests need none."""

    def monotonic(self) -> float:
        """Give seconds that never jump."""
        ...

    def now(self) -> datetime:
        """Give the time of day, in UTC."""
        ...

    def wait(self, event: threading.Event, seconds: float) -> None:
        """Return after `seconds`, or as soon as the event is set."""
        ...


class SystemClock:
    """The machine's own time."""

    def monotonic(self) -> float:
        """Give seconds that never jump."""
        return time.monotonic()

    def now(self) -> datetime:
        """Give the time of day, in UTC."""
        return datetime.now(UTC)

    def wait(self, event: threading.Event, seconds: float) -> None:
        """Return after `seconds`, or as soon as the event is set."""
        event.wait(seconds)


class Backoff:
    """Delays that double from `first_seconds` to `longest_seconds`, each made a random half to whole of that.

    Some floor stays under the jitter: full jitter lets a tenth of the callers try again almost at once.
    """

    def __init__(
        self, first_seconds: float, longest_seconds: float, chance: Callable[[], float] = random.random
    ) -> None:
        self._first = first_seconds
        self._longest = longest_seconds
        self._chance = chance
        self._next = first_seconds

    def next_seconds(self) -> float:
        """Give the next delay."""
        ceiling, self._next = self._next, min(self._longest, 2 * self._next)
        return ceiling * (0.5 + self._chance() / 2)

    def reset(self) -> None:
        """Start over, after a success."""
        self._next = self._first
