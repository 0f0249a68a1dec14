"""Time: the clock as a parameter, the intervals of a lane and the events that stop it."""

import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime


class Clock:
    """The clock of the machine; tests override its methods."""

    def monotonic(self) -> float:
        """Return seconds that never go backwards."""
        return time.monotonic()

    def now(self) -> datetime:
        """Return the current time in UTC."""
        return datetime.now(UTC)

    def wait(self, event: threading.Event, seconds: float) -> None:
        """Return after `seconds`, or as soon as the event is set."""
        event.wait(seconds)


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
