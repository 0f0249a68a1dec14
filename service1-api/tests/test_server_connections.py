"""The connections of a worker: which one is evicted, and which request is rejected when bytes run out."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from service1_api.problems import Problem
from service1_api.server.budget import Budget
from service1_api.server.connections import Connections, Limits

LIMITS = Limits(
    head_seconds=10,
    body_seconds=30,
    keepalive_seconds=75,
    max_body_bytes=1_000_000,
    max_held_bytes=1_000_000,
    max_connections=3,
)


@dataclass
class FakeRequest:
    held_bytes: int = 0


@dataclass(eq=False)
class FakeChannel:
    """A connection as `Connections` sees it; `age` is the time in seconds since its state began."""

    name: str
    age: float = 60
    request: FakeRequest | None = None
    requests: list[Any] = field(default_factory=list)
    served: bool = False
    lingers: bool = False
    began: float = 0.0
    closed: bool = False
    refused: Problem | None = None
    expired_at: float = 0.0
    budget: Budget | None = None

    def __post_init__(self) -> None:
        self.since = time.monotonic() - self.age

    def refuse(self, problem: Problem) -> None:
        if self.request is not None:
            if self.budget:
                self.budget.give_back(self.request.held_bytes)
            self.refused, self.request = problem, None
            self.requests.append(problem)

    def handle_close(self) -> None:
        self.closed = True

    def expire(self, now: float) -> None:
        self.expired_at = now


def report(problem: Problem, trace_id: str, environ: Mapping[str, Any]) -> None:
    """Report nothing."""


def connections_of(*channels: FakeChannel) -> Connections:
    connections = Connections(LIMITS, report)
    for channel in channels:
        channel.budget = connections.budget
        connections.add(channel)  # type: ignore[arg-type]
    return connections


ARRIVING = FakeRequest(100)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (FakeChannel("lingering", lingers=True, served=True), FakeChannel("silent")),
        (FakeChannel("silent"), FakeChannel("arriving", request=ARRIVING)),
        (FakeChannel("silent"), FakeChannel("just connected", age=0)),
        (FakeChannel("silent"), FakeChannel("idle, served before", served=True)),
        (FakeChannel("idle, served before", served=True), FakeChannel("arriving", request=ARRIVING)),
        (FakeChannel("arriving", request=ARRIVING), FakeChannel("served before", request=ARRIVING, served=True)),
        (FakeChannel("idle", served=True), FakeChannel("arriving", request=ARRIVING, served=True)),
        (FakeChannel("silent for long", age=90), FakeChannel("silent", age=30)),
    ],
    ids=lambda channel: channel.name,
)
def test_least_valuable_connection_is_evicted_first(first: FakeChannel, second: FakeChannel) -> None:
    channels = [FakeChannel(c.name, c.age, c.request, served=c.served, lingers=c.lingers) for c in (second, first)]
    connections_of(*channels, FakeChannel("busy", requests=["handled"]), FakeChannel("new", age=0))
    assert [channel.closed or channel.refused is not None for channel in channels] == [False, True]


def test_evicted_request_gets_the_reason() -> None:
    arriving = [FakeChannel(str(number), request=FakeRequest(1)) for number in range(3)]
    connections_of(*arriving, FakeChannel("new", age=0))
    (refused,) = [channel.refused for channel in arriving if channel.refused]
    assert refused.code == "overloaded"


def test_connections_whose_requests_are_handled_are_never_evicted() -> None:
    busy = [FakeChannel(str(number), requests=["handled"]) for number in range(3)]
    connections = connections_of(*busy, FakeChannel("new", age=0))
    assert not any(channel.closed for channel in busy)
    assert len(connections.open) == 4


def test_request_that_holds_most_bytes_is_rejected_first() -> None:
    small, large = (FakeChannel(str(size), request=FakeRequest(size)) for size in (1_000, 700_000))
    connections = connections_of(small, large)
    connections.budget.take(999_000)
    assert connections.has_room(small, 2_000)  # type: ignore[arg-type]
    assert (small.refused, large.refused and large.refused.code) == (None, "overloaded")


def test_has_room_returns_false_if_the_request_itself_is_rejected() -> None:
    alone = FakeChannel("alone", request=FakeRequest(900_000))
    connections = connections_of(alone)
    connections.budget.take(900_000)
    assert not connections.has_room(alone, 200_000)  # type: ignore[arg-type]
    assert alone.refused is not None


def test_open_connections_are_checked_at_most_a_few_times_a_second() -> None:
    kept, gone = FakeChannel("kept"), FakeChannel("gone")
    connections = connections_of(kept, gone)
    connections.remove(gone)  # type: ignore[arg-type]
    assert connections.expire()
    assert not connections.expire()
    assert (kept.expired_at > 0, gone.expired_at) == (True, 0.0)


@pytest.mark.parametrize(("at_once", "idle_seconds"), [(False, 2.0), (True, 0.0)])
def test_stop_shortens_the_limits_of_clients(at_once: bool, idle_seconds: float) -> None:
    connections = connections_of()
    connections.stop(at_once=at_once)
    assert (connections.stopping, connections.idle_seconds, connections.arriving_seconds) == (True, idle_seconds, 5.0)
