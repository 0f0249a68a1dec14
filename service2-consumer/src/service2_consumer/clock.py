"""Time: the clock as a parameter, back-off with jitter, the intervals of a lane and the events that stop it."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """The time functions that a test replaces."""

    def monotonic(self) -> float:
        """Return seconds that never go backwards."""
        ...

    def now(self) -> datetime:
        """Return the current time in UTC."""
        ...

    def wait(self, event: threading.Event, seconds: float) -> None:
        """Return after `seconds`, or as soon as the event is set."""
        ...


class SystemClock:
    """The clock of the machine."""

    def monotonic(self) -> float:
        """Return seconds that never go backwards."""
        return time.monotonic()

    def now(self) -> datetime:
        """Return the current time in UTC."""
        return datetime.now(UTC)

    def wait(self, event: threading.Event, seconds: float) -> None:
        """Return after `seconds`, or as soon as the event is set."""
        event.wait(seconds)


class Backoff:
    """Delays that double from `first_seconds` to `longest_seconds`, each multiplied by a random factor of 0.5 to 1.

    The factor has a minimum because full jitter makes a tenth of the callers retry almost at once.
    """

    def __init__(
        self, first_seconds: float, longest_seconds: float, chance: Callable[[], float] = random.random
    ) -> None:
        self._first = first_seconds
        self._longest = longest_seconds
        self._chance = chance
        self._next = first_seconds

    def next_seconds(self) -> float:
        """Return the next delay."""
        ceiling, self._next = self._next, min(self._longest, 2 * self._next)
        return ceiling * (0.5 + self._chance() / 2)

    def reset(self) -> None:
        """Start again with the first delay."""
        self._next = self._first


@dataclass(frozen=True, slots=True)
class PollTiming:
    """The intervals of a lane in seconds: long poll, pause after an empty poll, longest pause between two attempts.

    `max_retries_alone` limits the retries of an object that fails while the store works.
    """

    long_poll_seconds: int
    poll_interval_seconds: int
    longest_backoff_seconds: float = 30
    max_retries_alone: int = 12


@dataclass(frozen=True, slots=True)
class StopEvents:
    """The two steps of stopping, shared by all lanes: receive no more; then abandon what is not stored."""

    requested: threading.Event = field(default_factory=threading.Event)
    abandoned: threading.Event = field(default_factory=threading.Event)
