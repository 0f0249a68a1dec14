"""The lane with HourlyBatcher: collecting, writing, and open batches during an outage and a stop."""

import gzip
from collections.abc import Sequence
from datetime import timedelta

import pytest

from pillarbox.message import encode_body
from service2_consumer.batching import HourlyBatcher
from service2_consumer.ports import StoreError

from .fakes import START, LaneHarness, email, message_id


@pytest.fixture
def harness() -> LaneHarness:
    return LaneHarness(
        batcher=HourlyBatcher("messages/", max_messages=30, max_bytes=1_000_000, max_seconds=30)
    ).checked()


def send(harness: LaneHarness, count: int, first: int = 0, hours: int = 0) -> list[str]:
    timestamp = START + timedelta(hours=hours)
    return [
        harness.queue.send(encode_body(email(number)), {"message_id": message_id(number, timestamp)})
        for number in range(first, first + count)
    ]


def lines(harness: LaneHarness) -> list[int]:
    """Return the number of lines of each object, sorted by key."""
    return [gzip.decompress(item.body).count(b"\n") for _, item in sorted(harness.archive.objects.items())]


def test_messages_are_deleted_only_after_their_batch_is_stored(harness: LaneHarness) -> None:
    sent = send(harness, 30)
    harness.lane.run_once()
    harness.lane.run_once()
    assert (harness.archive.objects, harness.queue.deleted) == ({}, [])
    harness.lane.run_once()
    assert lines(harness) == [30]
    assert sorted(harness.queue.deleted) == sorted(sent)
    assert harness.value("stored_total") == 30


def test_long_poll_ends_when_a_batch_is_due(harness: LaneHarness) -> None:
    send(harness, 3)
    while harness.queue.messages:
        harness.lane.run_once()
    assert lines(harness) == [3]
    assert harness.queue.waits == [20, 20, 10]
    assert harness.clock.seconds == 30


def test_batch_is_written_in_time_while_sqs_fails(harness: LaneHarness) -> None:
    send(harness, 3)
    harness.lane.run_once()
    harness.queue.failing = "ServiceUnavailable"
    while not harness.archive.objects:
        harness.lane.run_once()
    assert 30 <= harness.clock.seconds < 31


def test_outage_uses_one_receive_and_keeps_open_batches_hidden(harness: LaneHarness) -> None:
    send(harness, 5, hours=1)
    send(harness, 30, first=5)
    harness.archive.failing = StoreError("throttled", "SlowDown")
    harness.clock.at(3600, lambda: setattr(harness.archive, "failing", None))
    while harness.queue.messages:
        harness.lane.run_once()
    assert sorted(lines(harness)) == [5, 30]
    assert (harness.value("received_total"), harness.queue.dead) == (35, [])


def test_stop_writes_open_batches(harness: LaneHarness) -> None:
    sent = send(harness, 3)
    harness.lane.run_once()
    harness.stop()
    harness.lane.run()
    assert (lines(harness), sorted(harness.queue.deleted)) == ([3], sent)
    assert harness.value("in_flight") == 0


def test_stop_while_s3_fails_releases_open_batches(harness: LaneHarness) -> None:
    sent = send(harness, 3)
    harness.lane.run_once()
    harness.archive.failing = StoreError("throttled", "SlowDown")
    harness.stop()
    harness.lane.run()
    assert harness.queue.visible() == sent
    assert harness.value("in_flight") == 0


def test_batch_repeated_after_a_lost_answer_is_a_duplicate(harness: LaneHarness) -> None:
    send(harness, 30)
    harness.queue.failing_deletes = True
    for _ in range(3):
        harness.lane.run_once()
    harness.queue.failing_deletes = False
    harness.clock.advance(harness.visibility_seconds)
    for _ in range(3):
        harness.lane.run_once()
    assert lines(harness) == [30]
    assert (harness.value("stored_total"), harness.value("duplicates_total")) == (30, 30)


def test_poison_is_released_while_other_messages_wait_in_a_batch(harness: LaneHarness) -> None:
    poison = harness.queue.send("{")
    send(harness, 3)
    harness.lane.run_once()
    assert harness.queue.visible() == [poison]


def test_slow_deletes_of_a_batch_do_not_fail_liveness(harness: LaneHarness) -> None:
    send(harness, 30)
    silences: list[float] = []
    delete = harness.queue.delete

    def slow(receipts: Sequence[str]) -> list[str]:
        harness.clock.advance(10)
        silences.append(harness.clock.seconds - harness.lane.last_beat_seconds)
        return delete(receipts)

    harness.queue.delete = slow  # type: ignore[method-assign]
    for _ in range(3):
        harness.lane.run_once()
    assert silences == [10, 10, 10]
