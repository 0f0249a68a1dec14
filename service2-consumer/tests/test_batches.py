"""The lane in batch layout: gathering, flushing, and what an outage and a stop do to open batches."""

import gzip
from collections.abc import Sequence
from datetime import timedelta

import pytest

from pillarbox.message import encode_body
from service2_consumer.layouts import BatchPerHour
from service2_consumer.ports import StoreError

from .fakes import START, Bench, email, message_id


@pytest.fixture
def bench() -> Bench:
    return Bench(layout=BatchPerHour("messages/", max_messages=30, max_bytes=1_000_000, max_seconds=30)).checked()


def send(bench: Bench, count: int, first: int = 0, hours: int = 0) -> list[str]:
    moment = START + timedelta(hours=hours)
    return [
        bench.queue.send(encode_body(email(number)), {"message_id": message_id(number, moment)})
        for number in range(first, first + count)
    ]


def lines(bench: Bench) -> list[int]:
    """Count the lines of each object, in the order of their keys."""
    return [gzip.decompress(item.body).count(b"\n") for _, item in sorted(bench.archive.objects.items())]


def test_messages_are_deleted_only_once_their_batch_is_stored(bench: Bench) -> None:
    sent = send(bench, 30)
    bench.lane.run_once()
    bench.lane.run_once()
    assert (bench.archive.objects, bench.queue.deleted) == ({}, [])
    bench.lane.run_once()
    assert lines(bench) == [30]
    assert sorted(bench.queue.deleted) == sorted(sent)
    assert bench.value("stored_total") == 30


def test_a_long_poll_does_not_outlast_the_age_of_a_batch(bench: Bench) -> None:
    send(bench, 3)
    while bench.queue.messages:
        bench.lane.run_once()
    assert lines(bench) == [3]
    assert bench.queue.waits == [20, 20, 10]
    assert bench.clock.seconds == 30


def test_a_batch_is_written_in_time_while_sqs_fails(bench: Bench) -> None:
    send(bench, 3)
    bench.lane.run_once()
    bench.queue.failing = "ServiceUnavailable"
    while not bench.archive.objects:
        bench.lane.run_once()
    assert 30 <= bench.clock.seconds < 31


def test_an_outage_spends_one_receive_and_keeps_open_batches_hidden(bench: Bench) -> None:
    send(bench, 5, hours=1)
    send(bench, 30, first=5)
    bench.archive.failing = StoreError("throttled", "SlowDown")
    bench.clock.at(3600, lambda: setattr(bench.archive, "failing", None))
    while bench.queue.messages:
        bench.lane.run_once()
    assert sorted(lines(bench)) == [5, 30]
    assert (bench.value("received_total"), bench.queue.dead) == (35, [])


def test_a_stop_writes_what_is_open(bench: Bench) -> None:
    sent = send(bench, 3)
    bench.lane.run_once()
    bench.stop()
    bench.lane.run()
    assert (lines(bench), sorted(bench.queue.deleted)) == ([3], sent)
    assert bench.value("in_flight") == 0


def test_a_stop_while_s3_fails_releases_what_is_open(bench: Bench) -> None:
    sent = send(bench, 3)
    bench.lane.run_once()
    bench.archive.failing = StoreError("throttled", "SlowDown")
    bench.stop()
    bench.lane.run()
    assert bench.queue.visible() == sent
    assert bench.value("in_flight") == 0


def test_the_same_batch_again_after_a_lost_answer_is_a_duplicate(bench: Bench) -> None:
    send(bench, 30)
    bench.queue.failing_deletes = True
    for _ in range(3):
        bench.lane.run_once()
    bench.queue.failing_deletes = False
    bench.clock.advance(bench.visibility_seconds)
    for _ in range(3):
        bench.lane.run_once()
    assert lines(bench) == [30]
    assert (bench.value("stored_total"), bench.value("duplicates_total")) == (30, 30)


def test_poison_is_released_although_its_neighbours_wait_in_a_batch(bench: Bench) -> None:
    poison = bench.queue.send("{")
    send(bench, 3)
    bench.lane.run_once()
    assert bench.queue.visible() == [poison]


def test_a_batch_whose_deletes_are_slow_is_no_lane_that_hangs(bench: Bench) -> None:
    send(bench, 30)
    silences: list[float] = []
    delete = bench.queue.delete

    def slow(receipts: Sequence[str]) -> list[str]:
        bench.clock.advance(10)
        silences.append(bench.clock.seconds - bench.lane.last_beat_seconds)
        return delete(receipts)

    bench.queue.delete = slow  # type: ignore[method-assign]
    for _ in range(3):
        bench.lane.run_once()
    assert silences == [10, 10, 10]
