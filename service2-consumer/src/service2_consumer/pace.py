"""How long a lane waits and tries, and how it is told to stop."""

import threading
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Stopping:
    """The two steps of stopping, shared by all lanes: take no more, then give up what is not done."""

    requested: threading.Event = field(default_factory=threading.Event)
    gave_up: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a lane waits, in seconds: for messages, after an empty poll, and at most between two tries.

    `tries_alone` is how often an object is tried again that fails while the store works.
    """

    long_poll_seconds: int
    poll_interval_seconds: int
    longest_backoff_seconds: float = 30
    tries_alone: int = 12
