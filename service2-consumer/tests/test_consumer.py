"""All lanes together: start, health, stop."""

import threading

import pytest

from common.testing.waiting import eventually
from service2_consumer.batching import HourlyBatcher
from service2_consumer.consumer import Consumer
from service2_consumer.ports import StoreError

from .fakes import LaneHarness


def consumer(harness: LaneHarness) -> Consumer:
    return Consumer([harness.lane], harness.stop_events, harness.clock, liveness_seconds=300)


def test_consumer_is_ready_from_the_checks_of_its_lanes_until_the_stop() -> None:
    harness = LaneHarness()
    whole = consumer(harness)
    checked = threading.Event()
    harness.queue.when_received = checked.set
    assert not whole.ready
    whole.start()
    assert checked.wait(10)
    assert whole.ready
    assert whole.alive
    eventually(lambda: whole.last_poll_at, "a poll is answered")
    whole.stop()
    assert not whole.ready
    assert whole.join(10)


def test_hanging_lane_fails_liveness() -> None:
    harness = LaneHarness()
    whole = consumer(harness)
    hang = threading.Event()
    entered = threading.Event()

    def probe_hangs() -> None:
        entered.set()
        hang.wait(30)

    harness.archive.probe = probe_hangs  # type: ignore[method-assign]
    whole.start()
    assert entered.wait(10)
    assert whole.alive
    harness.clock.advance(301)
    assert not whole.alive
    assert whole.lanes_alive() == 0
    assert not whole.join(0.01)
    whole.abandon()
    hang.set()
    assert whole.join(10)


def test_hanging_store_fails_liveness() -> None:
    harness = LaneHarness().checked()
    whole = consumer(harness)
    hang, entered = threading.Event(), threading.Event()

    def put_hangs() -> None:
        entered.set()
        hang.wait(30)

    harness.archive.when_put = put_hangs
    harness.queue.send()
    whole.start()
    assert entered.wait(10)
    harness.clock.advance(301)
    assert not whole.alive
    whole.abandon()
    hang.set()
    assert whole.join(10)


class Watch:
    """Records the result of the probes each time the clock moves."""

    def __init__(self, harness: LaneHarness, whole: Consumer) -> None:
        self.alive: list[bool] = []
        self.ready: list[bool] = []
        advance = harness.clock.advance

        def watched(seconds: float) -> None:
            self.alive.append(whole.alive)
            self.ready.append(whole.ready)
            advance(seconds)

        harness.clock.advance = watched  # type: ignore[method-assign]


@pytest.mark.parametrize("dependency", ["queue", "archive"])
def test_outage_fails_readiness_and_never_liveness(dependency: str) -> None:
    harness = LaneHarness().checked()
    whole = consumer(harness)
    harness.queue.send()
    if dependency == "queue":
        harness.queue.failing = "ServiceUnavailable"
        harness.clock.at(20_000, lambda: setattr(harness.queue, "failing", ""))
    else:
        harness.archive.failing = StoreError("server_error")
        harness.clock.at(20_000, lambda: setattr(harness.archive, "failing", None))
    watch = Watch(harness, whole)
    harness.clock.at(20_200, harness.stop)
    whole.start()
    assert whole.join(60)
    assert all(watch.alive)
    assert len(watch.alive) > 300
    assert watch.ready[5:300] == [False] * 295
    assert watch.ready[-2]  # it works again; the last timestamp is the time of the stop
    assert len(harness.queue.deleted) == 1


def test_outage_at_the_start_does_not_fail_liveness() -> None:
    harness = LaneHarness()
    whole = consumer(harness)
    harness.archive.failing = StoreError("access_denied")
    harness.clock.at(20_000, harness.stop)
    watch = Watch(harness, whole)
    whole.start()
    assert whole.join(60)
    assert all(watch.alive)
    assert not any(watch.ready)


def test_overwriting_archive_stops_the_consumer_before_it_receives() -> None:
    harness = LaneHarness()
    refused = threading.Event()
    harness.archive.overwrites = True
    sent = harness.queue.send()
    whole = Consumer([harness.lane], harness.stop_events, harness.clock, liveness_seconds=300, on_refusal=refused.set)
    assert whole.refusal == ""
    whole.start()
    assert refused.wait(10)
    assert whole.join(10)
    assert whole.refusal == "the store ignores If-None-Match"
    assert harness.queue.receives_of(sent) == 0
    assert not whole.ready


def test_lanes_ended_by_a_stop_do_not_fail_liveness() -> None:
    harness = LaneHarness()
    whole = consumer(harness)
    whole.start()
    whole.stop()
    assert whole.join(10)
    assert whole.alive
    assert whole.lanes_alive() == 0


def test_abandon_releases_open_batches_without_waiting_for_a_long_poll() -> None:
    harness = LaneHarness(
        batcher=HourlyBatcher("messages/", max_messages=30, max_bytes=1_000_000, max_seconds=30)
    ).checked()
    whole = consumer(harness)
    polling, over = threading.Event(), threading.Event()
    sent = harness.queue.send()

    def poll() -> None:
        if harness.value("in_flight"):
            polling.set()
            over.wait(30)

    harness.queue.when_received = poll
    whole.start()
    assert polling.wait(10)
    whole.abandon()
    assert whole.join_except_polls(10)
    assert harness.queue.visible() == [sent]
    assert not whole.join(0.01)
    over.set()
    assert whole.join(10)
    assert harness.archive.objects == {}


def test_abandon_reports_a_lane_that_still_holds_messages() -> None:
    harness = LaneHarness().checked()
    whole = consumer(harness)
    stuck, over = threading.Event(), threading.Event()

    def change_visibility(receipts: object, seconds: int) -> list[str]:
        stuck.set()
        over.wait(30)
        return []

    harness.queue.change_visibility = change_visibility  # type: ignore[method-assign]
    harness.queue.send("{")
    whole.start()
    assert stuck.wait(10)
    whole.abandon()
    waiting = threading.Thread(target=lambda: answers.append(whole.join_except_polls(5)))
    answers: list[bool] = []
    waiting.start()
    while waiting.is_alive():
        harness.clock.advance(6)  # more than once: the thread may not have read the clock yet
        waiting.join(0.01)
    assert answers == [False]
    over.set()
    assert whole.join(10)
