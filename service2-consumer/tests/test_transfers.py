"""Objects that fail while the store works: the lane continues, and their messages reach the DLQ in the end."""

import itertools
import logging

import pytest

from pillarbox.message import encode_body
from service2_consumer.batching import HourlyBatcher
from service2_consumer.model import InFlightMessage
from service2_consumer.ports import StoreError
from service2_consumer.set_aside import MAX_OBJECTS

from .fakes import LaneHarness, email, message_id

SERVER_ERROR = StoreError("server_error", "InternalError")
MANY = 100


@pytest.fixture
def harness() -> LaneHarness:
    return LaneHarness().checked()


def key_of(number: int) -> str:
    return f"messages/2026/12/10/{message_id(number)}.json"


def send(harness: LaneHarness, number: int, **changes: str) -> str:
    return harness.queue.send(encode_body(email(number, **changes)), {"message_id": message_id(number)})


def send_bad(harness: LaneHarness, *numbers: int) -> list[str]:
    harness.archive.failing_keys |= {key_of(number) for number in numbers}
    return [send(harness, number) for number in numbers]


def run_for(harness: LaneHarness, seconds: float) -> None:
    end = harness.clock.seconds + seconds
    while harness.clock.seconds < end:
        harness.lane.run_once()


def run_until_empty(harness: LaneHarness) -> None:
    for _ in range(100_000):
        if not harness.queue.messages:
            return
        harness.lane.run_once()
    raise AssertionError("messages are left")


def test_object_failing_alone_delays_no_other(harness: LaneHarness) -> None:
    bad = send_bad(harness, 1, 2)
    good = [send(harness, number) for number in range(10, 10 + MANY)]
    for _ in range(MANY // 8):
        harness.lane.run_once()
    assert sorted(harness.queue.deleted) == sorted(good)
    assert (harness.queue.visible(), harness.value("set_aside")) == ([], 2)
    assert [harness.queue.receives_of(sqs_id) for sqs_id in bad] == [1, 1]
    assert harness.value("store_healthy") == 1


def test_object_failing_once_is_retried_at_once(harness: LaneHarness) -> None:
    sent = send_bad(harness, 1)
    harness.clock.at(0.01, harness.archive.failing_keys.clear)
    harness.lane.run_once()
    assert harness.queue.deleted == sent
    assert harness.clock.seconds < 0.2
    assert harness.value("set_aside") == 0


def test_probe_distinguishes_a_failing_object_from_an_outage(harness: LaneHarness) -> None:
    (bad,) = send_bad(harness, 1)
    harness.lane.run_once()
    probes = harness.archive.probes
    good = send(harness, 2)
    harness.lane.run_once()
    assert (harness.queue.deleted, harness.queue.receives_of(bad)) == ([good], 1)
    assert probes == 2  # the start check and this write


def test_object_set_aside_is_stored_when_its_retry_succeeds(harness: LaneHarness) -> None:
    sent = send_bad(harness, 1)
    harness.clock.at(60, harness.archive.failing_keys.clear)
    run_until_empty(harness)
    assert harness.queue.deleted == sent
    assert harness.clock.seconds < 60 + 64 + 32  # the pause after that would end later
    assert (harness.value("received_total"), harness.value("set_aside"), harness.value("released_total")) == (1, 0, 0)


def test_object_that_always_fails_reaches_the_dead_letter_queue_with_the_reason(
    harness: LaneHarness, caplog: pytest.LogCaptureFixture
) -> None:
    bad = send_bad(harness, 1, 2)
    run_until_empty(harness)
    assert sorted(harness.queue.dead) == bad
    assert harness.archive.objects == {}
    assert harness.value("invalid_total", reason="store_refused") == 2 * 3  # a redrive policy of three receives
    errors = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert {(r.reason, r.tries, *r.message_ids) for r in errors} == {  # type: ignore[attr-defined]
        ("store_refused", 12, message_id(1)),
        ("store_refused", 12, message_id(2)),
    }
    assert harness.value("in_flight") == 0


def test_retries_have_growing_pauses_and_keep_messages_hidden(harness: LaneHarness) -> None:
    (bad,) = send_bad(harness, 1)
    tries: list[float] = []
    harness.archive.when_put = lambda: tries.append(harness.clock.seconds)
    harness.queue.when_released = harness.stop  # else the lane receives it again in the same cycle
    while not harness.value("invalid_total", reason="store_refused"):
        assert bad not in harness.queue.visible() or not tries
        harness.lane.run_once()
    pauses = [b - a for a, b in itertools.pairwise(tries[1:])]
    assert len(pauses) == 12
    assert 0.5 <= pauses[0] <= 2.5
    assert 150 <= pauses[-1] <= 302
    assert harness.queue.receives_of(bad) == 1
    timestamps = [0.0, *(timestamp for timestamp, _ in harness.queue.extensions)]
    assert max(b - a for a, b in itertools.pairwise(timestamps)) < harness.visibility_seconds


@pytest.mark.parametrize("retry_first", [False, True], ids=["before", "after"])
def test_outage_uses_one_receive_of_old_and_new_messages(harness: LaneHarness, retry_first: bool) -> None:
    bad = send_bad(harness, 1, 2)
    harness.lane.run_once()
    if retry_first:
        run_for(harness, 5)
    begin = harness.clock.seconds
    harness.archive.failing = SERVER_ERROR
    new = [send(harness, number) for number in range(10, 20)]

    def recover() -> None:
        harness.archive.failing = None
        harness.archive.failing_keys.clear()

    harness.clock.at(begin + 6 * 3600, recover)
    run_until_empty(harness)
    assert sorted(harness.queue.deleted) == sorted(bad + new)
    assert harness.value("received_total") == 12
    assert harness.value("invalid_total", reason="store_refused") == 0
    assert harness.clock.seconds > begin + 6 * 3600


def test_outage_does_not_count_against_objects_set_aside(harness: LaneHarness) -> None:
    send_bad(harness, 1)
    harness.lane.run_once()
    harness.archive.failing = SERVER_ERROR
    run_for(harness, 5 * 3600)
    assert harness.value("invalid_total", reason="store_refused") == 0
    assert harness.value("store_healthy") == 0
    harness.archive.failing = None
    harness.archive.failing_keys.clear()
    run_until_empty(harness)
    assert harness.value("received_total") == 1


@pytest.mark.parametrize("cause", ["access_denied", "throttled", "credentials", "no_such_bucket", "timeout"])
def test_cause_that_may_affect_all_objects_is_an_outage_that_uses_one_receive(harness: LaneHarness, cause: str) -> None:
    sent = [send(harness, number) for number in range(60)]
    harness.archive.failing_records = StoreError(cause)
    harness.clock.at(8 * 3600, lambda: setattr(harness.archive, "failing_records", None))
    run_for(harness, 7 * 3600)
    assert 10 <= harness.value("received_total") < 20  # then no more, because there is no room
    assert (harness.value("store_healthy"), harness.value("lanes_full"), harness.lane.well) == (0, 1, False)
    run_until_empty(harness)
    assert sorted(harness.queue.deleted) == sorted(sent)
    assert harness.value("received_total") == 60
    assert (harness.value("store_healthy"), harness.value("lanes_full"), harness.lane.well) == (1, 0, True)


def test_access_denied_counts_against_an_object_once_others_are_stored(harness: LaneHarness) -> None:
    bad = send_bad(harness, 1)
    harness.archive.error_of_keys = StoreError("access_denied", "AccessDenied")
    for number in itertools.count(2):
        send(harness, number)
        run_for(harness, 60)
        if harness.queue.dead:
            break
    assert harness.queue.dead == bad


def test_full_lane_receives_nothing_until_it_has_room(harness: LaneHarness, caplog: pytest.LogCaptureFixture) -> None:
    send_bad(harness, *range(40))
    with caplog.at_level(logging.INFO):
        run_for(harness, 20)
        held = harness.value("in_flight")
        assert MAX_OBJECTS <= held < MAX_OBJECTS + 10
        assert harness.value("lanes_full") == 1
        harness.archive.failing_keys.clear()
        run_until_empty(harness)
        harness.lane.run_once()
    assert harness.value("lanes_full") == 0
    lines = [r.message for r in caplog.records if r.message.startswith("a lane receives")]
    assert lines == [
        "a lane receives nothing until what it has set aside is stored or released",
        "a lane receives again",
    ]
    assert harness.value("received_total") == 40


def test_full_lane_keeps_running_and_is_ready(harness: LaneHarness) -> None:
    send_bad(harness, *range(40))
    run_for(harness, 20)
    assert harness.value("lanes_full") == 1
    for _ in range(50):
        harness.lane.run_once()
        assert harness.clock.seconds - harness.lane.last_beat_seconds <= 30.001
    assert harness.lane.well


@pytest.mark.parametrize("store_fails", [False, True])
def test_stop_releases_messages_set_aside(harness: LaneHarness, store_fails: bool) -> None:
    bad = send_bad(harness, 1, 2)
    run_for(harness, 5)
    if store_fails:
        harness.archive.failing = SERVER_ERROR
    harness.stop()
    harness.lane.run()
    assert harness.queue.visible() == bad
    assert [harness.queue.receives_of(sqs_id) for sqs_id in bad] == [1, 1]
    assert (harness.value("in_flight"), harness.value("set_aside")) == (0, 0)


def test_unexpected_error_releases_messages_set_aside(harness: LaneHarness) -> None:
    (bad,) = send_bad(harness, 1)
    harness.lane.run_once()
    receive = harness.queue.receive

    def breaks(wait_seconds: int) -> list[InFlightMessage]:
        raise RuntimeError("unforeseen")

    def recover() -> None:
        harness.queue.receive = receive  # type: ignore[method-assign]
        harness.archive.failing_keys.clear()
        harness.queue.when_received = harness.stop

    harness.queue.receive = breaks  # type: ignore[method-assign]
    harness.clock.at(harness.clock.seconds + 0.01, recover)
    harness.lane.run()
    assert harness.queue.receives_of(bad) == 2
    assert harness.value("in_flight") == 0


def test_messages_set_aside_are_released_after_twelve_hours(harness: LaneHarness) -> None:
    (sent,) = [send(harness, 1)]
    harness.archive.failing_records = StoreError("throttled", "SlowDown")
    while not harness.queue.visible() or not harness.clock.seconds:
        harness.lane.run_once()
    assert 11.5 * 3600 < harness.clock.seconds <= 12 * 3600
    assert (harness.queue.receives_of(sent), harness.value("in_flight"), harness.lane.checked) == (1, 0, False)


def test_pause_after_an_empty_poll_does_not_delay_an_extension() -> None:
    harness = LaneHarness(long_poll_seconds=1, poll_interval_seconds=300, visibility_seconds=60).checked()
    (bad,) = send_bad(harness, 1)
    while harness.clock.seconds < 600:
        harness.lane.run_once()
        assert bad not in harness.queue.visible()
    assert harness.queue.receives_of(bad) == 1


def test_shortest_timings_keep_messages_set_aside_hidden() -> None:
    harness = LaneHarness(long_poll_seconds=20, visibility_seconds=3).checked()
    (bad,) = send_bad(harness, 1)
    harness.queue.when_released = harness.stop
    while not harness.value("invalid_total", reason="store_refused"):
        harness.lane.run_once()
    assert harness.queue.receives_of(bad) == 1


# ---- batches --------------------------------------------------------------------------------------------------------


def test_failing_batch_delays_no_other_and_its_messages_are_regrouped() -> None:
    batcher = HourlyBatcher("messages/", max_messages=20, max_bytes=1_000_000, max_seconds=30)
    harness = LaneHarness(batcher=batcher, long_poll_seconds=1, max_receive_count=2).checked()
    sent = [send(harness, number) for number in range(20)]
    failed: set[str] = set()

    def first_batch_fails() -> None:
        failed.update(harness.archive.asked[:1])
        harness.archive.failing_keys |= failed

    harness.archive.when_put = first_batch_fails
    run_for(harness, 10)
    assert (harness.value("set_aside"), harness.value("in_flight")) == (20, 20)
    good = [send(harness, number) for number in range(20, 80)]
    run_for(harness, 60)
    assert sorted(harness.queue.deleted) == sorted(good)
    run_until_empty(harness)
    assert harness.value("invalid_total", reason="store_refused") == 20
    assert harness.queue.dead == []
    assert set(sent) < set(harness.queue.deleted)


def test_open_and_set_aside_batches_stay_hidden_during_an_outage() -> None:
    batcher = HourlyBatcher("messages/", max_messages=20, max_bytes=1_000_000, max_seconds=30)
    harness = LaneHarness(batcher=batcher, long_poll_seconds=1).checked()
    for number in range(25):
        send(harness, number)
    harness.archive.when_put = lambda: harness.archive.failing_keys.update(harness.archive.asked[:1])
    run_for(harness, 3)
    assert (harness.value("set_aside"), harness.value("in_flight")) == (20, 25)
    harness.archive.failing = SERVER_ERROR
    harness.archive.when_put = lambda: None

    def recover() -> None:
        harness.archive.failing = None
        harness.archive.failing_keys.clear()

    harness.clock.at(6 * 3600, recover)
    run_until_empty(harness)
    assert (harness.value("received_total"), harness.queue.dead) == (25, [])
