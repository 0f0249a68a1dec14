"""The connections of a worker as a whole: how many there may be, what they may hold, and which has to go first."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from service1_api.problems import Problem
from service1_api.server.answers import Report
from service1_api.server.budget import Budget

if TYPE_CHECKING:
    from service1_api.server.channel import Channel

_CHECK_SECONDS = 0.25
_NEW_SECONDS = 1.0  # in which the first bytes of a request are on their way
_STOPPING_IDLE_SECONDS = 2.0  # for a request that was sent before the client could know
_STOPPING_ARRIVAL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may take: times in seconds, sizes in bytes."""

    head_seconds: float
    body_seconds: float
    keepalive_seconds: float
    max_body_bytes: int
    max_held_bytes: int
    max_connections: int


class Connections:
    """What the channels of a worker share; used by the main thread, except for `report`."""

    def __init__(self, limits: Limits, report: Report) -> None:
        self.limits = limits
        self.report = report
        self.budget = Budget(limits.max_held_bytes)
        self.open: set[Channel] = set()
        self.accepted = 0
        self.stopping = False
        self.idle_seconds = limits.keepalive_seconds
        self.arriving_seconds = limits.body_seconds
        self._next_check = 0.0

    def stop(self, *, at_once: bool) -> None:
        """Answer what is arriving; idle connections may send one more request in a short time, or none (`at_once`)."""
        self.stopping = True
        self.idle_seconds = 0.0 if at_once else _STOPPING_IDLE_SECONDS
        self.arriving_seconds = _STOPPING_ARRIVAL_SECONDS

    def add(self, new: "Channel") -> None:
        """Count a connection; if there are too many, close the one that is worth least."""
        self.accepted += 1
        self.open.add(new)
        if len(self.open) <= self.limits.max_connections:
            return
        free = [channel for channel in self.open if channel is not new and not channel.requests]
        if not free:
            return
        channel = min(free, key=_worth)
        channel.refuse(Problem("overloaded", "too many connections"))
        if not channel.requests:
            channel.handle_close()

    def remove(self, channel: "Channel") -> None:
        """Forget a connection that closes."""
        self.open.discard(channel)

    def has_room(self, channel: "Channel", count: int) -> bool:
        """Make room for bytes of an arriving request; false if that had to be refused itself.

        The arriving request that holds most is refused first: large ones must not shut out small ones.
        """
        while channel.request is not None:
            if self.budget.has_room(channel.request.held_bytes, count):
                return True
            largest = max(self._arriving(), key=lambda other: other.request.held_bytes if other.request else 0)
            largest.refuse(Problem("overloaded", "too many bytes of requests are being handled"))
        return False

    def expire(self) -> bool:
        """End what has lasted too long; looks a few times a second. Returns whether it has looked."""
        now = time.monotonic()
        if now < self._next_check:
            return False
        self._next_check = now + _CHECK_SECONDS
        for channel in list(self.open):
            channel.expire(now)
        return True

    def _arriving(self) -> Iterable["Channel"]:
        return (channel for channel in self.open if channel.request is not None and not channel.requests)


def _worth(channel: "Channel") -> tuple[int, float]:
    """Return the order in which connections are given up: strangers that are silent first, good clients last."""
    arriving = channel.request is not None or time.monotonic() - channel.since < _NEW_SECONDS
    if channel.lingers:
        return 0, channel.since
    return 1 + arriving + 2 * channel.served, channel.began or channel.since
