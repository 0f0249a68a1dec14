"""All lanes together: started, watched, stopped."""

import threading

import pytest

from common.testing.waiting import eventually
from service2_consumer.lanes import Consumer
from service2_consumer.layouts import BatchPerHour
from service2_consumer.ports import StoreError

from .fakes import Bench


def consumer(bench: Bench) -> Consumer:
    return Consumer([bench.lane], bench.stopping, bench.clock, liveness_seconds=300)


def test_a_consumer_is_ready_once_its_lanes_have_checked_and_until_it_stops() -> None:
    bench = Bench()
    whole = consumer(bench)
    checked = threading.Event()
    bench.queue.when_received = checked.set
    assert not whole.ready
    whole.start()
    assert checked.wait(10)
    assert whole.ready
    assert whole.alive
    eventually(lambda: whole.last_poll_at, "a poll is answered")
    whole.stop()
    assert not whole.ready
    assert whole.join(10)


def test_a_lane_that_hangs_in_a_call_turns_liveness_red() -> None:
    bench = Bench()
    whole = consumer(bench)
    hang = threading.Event()
    entered = threading.Event()

    def probe_hangs() -> None:
        entered.set()
        hang.wait(30)

    bench.archive.probe = probe_hangs  # type: ignore[method-assign]
    whole.start()
    assert entered.wait(10)
    assert whole.alive
    bench.clock.advance(301)
    assert not whole.alive
    assert whole.lanes_alive() == 0
    assert not whole.join(0.01)
    whole.give_up()
    hang.set()
    assert whole.join(10)


def test_a_store_that_hangs_turns_liveness_red() -> None:
    bench = Bench().checked()
    whole = consumer(bench)
    hang, entered = threading.Event(), threading.Event()

    def put_hangs() -> None:
        entered.set()
        hang.wait(30)

    bench.archive.when_put = put_hangs
    bench.queue.send()
    whole.start()
    assert entered.wait(10)
    bench.clock.advance(301)
    assert not whole.alive
    whole.give_up()
    hang.set()
    assert whole.join(10)


class Watch:
    """Notes what probes would see each time that the clock moves."""

    def __init__(self, bench: Bench, whole: Consumer) -> None:
        self.alive: list[bool] = []
        self.ready: list[bool] = []
        advance = bench.clock.advance

        def watched(seconds: float) -> None:
            self.alive.append(whole.alive)
            self.ready.append(whole.ready)
            advance(seconds)

        bench.clock.advance = watched  # type: ignore[method-assign]


@pytest.mark.parametrize("dependency", ["queue", "archive"])
def test_an_outage_of_any_length_restarts_nothing_and_is_seen_by_readiness(dependency: str) -> None:
    bench = Bench().checked()
    whole = consumer(bench)
    bench.queue.send()
    if dependency == "queue":
        bench.queue.failing = "ServiceUnavailable"
        bench.clock.at(20_000, lambda: setattr(bench.queue, "failing", ""))
    else:
        bench.archive.failing = StoreError("server_error")
        bench.clock.at(20_000, lambda: setattr(bench.archive, "failing", None))
    watch = Watch(bench, whole)
    bench.clock.at(20_200, bench.stop)
    whole.start()
    assert whole.join(60)
    assert all(watch.alive)
    assert len(watch.alive) > 300
    assert watch.ready[5:300] == [False] * 295
    assert watch.ready[-2]  # it works again; the last moment is that of the stop
    assert len(bench.queue.deleted) == 1


def test_an_outage_at_the_start_restarts_nothing_either() -> None:
    bench = Bench()
    whole = consumer(bench)
    bench.archive.failing = StoreError("access_denied")
    bench.clock.at(20_000, bench.stop)
    watch = Watch(bench, whole)
    whole.start()
    assert whole.join(60)
    assert all(watch.alive)
    assert not any(watch.ready)


def test_a_consumer_whose_archive_overwrites_stops_before_it_receives() -> None:
    bench = Bench()
    told = threading.Event()
    bench.archive.overwrites = True
    sent = bench.queue.send()
    whole = Consumer([bench.lane], bench.stopping, bench.clock, liveness_seconds=300, when_refused=told.set)
    assert whole.refusal == ""
    whole.start()
    assert told.wait(10)
    assert whole.join(10)
    assert whole.refusal == "the store ignores If-None-Match"
    assert bench.queue.receives_of(sent) == 0
    assert not whole.ready


def test_lanes_that_have_ended_while_stopping_are_no_alarm() -> None:
    bench = Bench()
    whole = consumer(bench)
    whole.start()
    whole.stop()
    assert whole.join(10)
    assert whole.alive
    assert whole.lanes_alive() == 0


def test_giving_up_releases_open_batches_without_waiting_for_a_long_poll() -> None:
    bench = Bench(layout=BatchPerHour("messages/", max_messages=30, max_bytes=1_000_000, max_seconds=30)).checked()
    whole = consumer(bench)
    polling, over = threading.Event(), threading.Event()
    sent = bench.queue.send()

    def poll() -> None:
        if bench.value("in_flight"):
            polling.set()
            over.wait(30)

    bench.queue.when_received = poll
    whole.start()
    assert polling.wait(10)
    whole.give_up()
    assert whole.join_but_polls(10)
    assert bench.queue.visible() == [sent]
    assert not whole.join(0.01)
    over.set()
    assert whole.join(10)
    assert bench.archive.objects == {}


def test_giving_up_reports_a_lane_that_is_stuck_with_messages() -> None:
    bench = Bench().checked()
    whole = consumer(bench)
    stuck, over = threading.Event(), threading.Event()

    def change_visibility(receipts: object, seconds: int) -> list[str]:
        stuck.set()
        over.wait(30)
        return []

    bench.queue.change_visibility = change_visibility  # type: ignore[method-assign]
    bench.queue.send("{")
    whole.start()
    assert stuck.wait(10)
    whole.give_up()
    waiting = threading.Thread(target=lambda: answers.append(whole.join_but_polls(5)))
    answers: list[bool] = []
    waiting.start()
    while waiting.is_alive():
        bench.clock.advance(6)  # more than once: the thread may not have read the clock yet
        waiting.join(0.01)
    assert answers == [False]
    over.set()
    assert whole.join(10)
