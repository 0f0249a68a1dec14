"""All connections of a worker: how many are allowed, how many bytes they may hold, and which is evicted first."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from service1_api.problems import Problem
from service1_api.server.answers import Report
from service1_api.server.budget import Budget

if TYPE_CHECKING:
    from service1_api.server.channel import Channel

_CHECK_SECONDS = 0.25
_NEW_SECONDS = 1.0  # time in which the first bytes of a request may be in transit
_STOPPING_IDLE_SECONDS = 2.0  # for a request that was sent before the client could know
_STOPPING_ARRIVAL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of clients: times in seconds, sizes in bytes."""

    head_seconds: float
    body_seconds: float
    keepalive_seconds: float
    max_body_bytes: int
    max_held_bytes: int
    max_connections: int


class Connections:
    """The state that the channels of a worker share. Only the main thread uses it, except for `report`."""

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
        """Answer requests being received. Idle connections may send one more in a short time, or none (`at_once`)."""
        self.stopping = True
        self.idle_seconds = 0.0 if at_once else _STOPPING_IDLE_SECONDS
        self.arriving_seconds = _STOPPING_ARRIVAL_SECONDS

    def add(self, new: "Channel") -> None:
        """Add a connection; if there are too many, close the least valuable one."""
        self.accepted += 1
        self.open.add(new)
        if len(self.open) <= self.limits.max_connections:
            return
        free = [channel for channel in self.open if channel is not new and not channel.requests]
        if not free:
            return
        channel = min(free, key=_eviction_order)
        channel.refuse(Problem("overloaded", "too many connections"))
        if not channel.requests:
            channel.handle_close()

    def remove(self, channel: "Channel") -> None:
        """Remove a connection that closes."""
        self.open.discard(channel)

    def has_room(self, channel: "Channel", count: int) -> bool:
        """Make room for bytes of a request being received. Return False if that request itself was rejected.

        The request that holds most is rejected first: large requests must not displace small ones.
        """
        while channel.request is not None:
            if self.budget.has_room(channel.request.held_bytes, count):
                return True
            arriving = (other for other in self.open if other.request is not None and not other.requests)
            largest = max(arriving, key=lambda other: other.request.held_bytes if other.request else 0)
            largest.refuse(Problem("overloaded", "too many bytes of requests are being handled"))
        return False

    def expire(self) -> bool:
        """End what has exceeded its time, a few times a second. Return whether the check was made."""
        now = time.monotonic()
        if now < self._next_check:
            return False
        self._next_check = now + _CHECK_SECONDS
        for channel in list(self.open):
            channel.expire(now)
        return True


def _eviction_order(channel: "Channel") -> tuple[int, float]:
    """Return the order of eviction: silent connections, idle ones, requests being received; of equals the oldest."""
    arriving = channel.request is not None or time.monotonic() - channel.since < _NEW_SECONDS
    if channel.lingers:
        return 0, channel.since
    return 1 + channel.served + 2 * arriving, channel.began or channel.since
