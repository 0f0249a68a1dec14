"""Objects that fail while the store works: the lane goes on, and in the end they count towards the DLQ."""

import itertools
import logging

import pytest

from pillarbox.message import encode_body
from service2_consumer.aside import MAX_BYTES, MAX_OBJECTS, SetAside
from service2_consumer.layouts import BatchPerHour, NewObject, Parcel
from service2_consumer.ports import StoreError
from service2_consumer.record import Message

from .fakes import Bench, email, message_id

SERVER_ERROR = StoreError("server_error", "InternalError")
MANY = 100


@pytest.fixture
def bench() -> Bench:
    return Bench(long_poll_seconds=1).checked()


def key_of(number: int) -> str:
    return f"messages/2026/12/10/{message_id(number)}.json"


def send(bench: Bench, number: int, **changes: str) -> str:
    return bench.queue.send(encode_body(email(number, **changes)), {"message_id": message_id(number)})


def send_bad(bench: Bench, *numbers: int) -> list[str]:
    bench.archive.failing_keys |= {key_of(number) for number in numbers}
    return [send(bench, number) for number in numbers]


def run_for(bench: Bench, seconds: float) -> None:
    end = bench.clock.seconds + seconds
    while bench.clock.seconds < end:
        bench.lane.run_once()


def run_until_empty(bench: Bench) -> None:
    for _ in range(100_000):
        if not bench.queue.messages:
            return
        bench.lane.run_once()
    raise AssertionError("messages are left")


def test_what_fails_alone_holds_up_nothing_behind_it(bench: Bench) -> None:
    bad = send_bad(bench, 1, 2)
    good = [send(bench, number) for number in range(10, 10 + MANY)]
    for _ in range(MANY // 8):
        bench.lane.run_once()
    assert sorted(bench.queue.deleted) == sorted(good)
    assert (bench.queue.visible(), bench.value("set_aside")) == ([], 2)
    assert [bench.queue.receives_of(sqs_id) for sqs_id in bad] == [1, 1]
    assert bench.value("store_healthy") == 1


def test_an_object_that_fails_once_is_stored_at_once_and_not_set_aside(bench: Bench) -> None:
    sent = send_bad(bench, 1)
    bench.clock.at(0.01, bench.archive.failing_keys.clear)
    bench.lane.run_once()
    assert bench.queue.deleted == sent
    assert bench.clock.seconds < 0.2
    assert bench.value("set_aside") == 0


def test_one_that_fails_with_no_other_in_hand_is_told_from_an_outage_by_the_probe(bench: Bench) -> None:
    (bad,) = send_bad(bench, 1)
    bench.lane.run_once()
    probes = bench.archive.probes
    good = send(bench, 2)
    bench.lane.run_once()
    assert (bench.queue.deleted, bench.queue.receives_of(bad)) == ([good], 1)
    assert probes == 2  # the start check, and this


def test_what_was_set_aside_is_stored_as_soon_as_its_retry_succeeds(bench: Bench) -> None:
    sent = send_bad(bench, 1)
    bench.clock.at(60, bench.archive.failing_keys.clear)
    run_until_empty(bench)
    assert bench.queue.deleted == sent
    assert bench.clock.seconds < 60 + 64 + 2
    assert (bench.value("received_total"), bench.value("set_aside"), bench.value("released_total")) == (1, 0, 0)


def test_what_fails_alone_for_ever_ends_in_the_dead_letter_queue_with_the_reason(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bad = send_bad(bench, 1, 2)
    run_until_empty(bench)
    assert sorted(bench.queue.dead) == bad
    assert bench.archive.objects == {}
    assert bench.value("invalid_total", reason="store_refused") == 2 * 3  # a redrive policy of three receives
    errors = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert {(r.reason, r.tries, *r.message_ids) for r in errors} == {  # type: ignore[attr-defined]
        ("store_refused", 12, message_id(1)),
        ("store_refused", 12, message_id(2)),
    }
    assert bench.value("in_flight") == 0


def test_retries_have_growing_pauses_of_their_own_and_their_messages_stay_hidden(bench: Bench) -> None:
    (bad,) = send_bad(bench, 1)
    tries: list[float] = []
    bench.archive.when_put = lambda: tries.append(bench.clock.seconds)
    bench.queue.when_released = bench.stop  # else the lane receives it again in the same cycle
    while not bench.value("invalid_total", reason="store_refused"):
        assert bad not in bench.queue.visible() or not tries
        bench.lane.run_once()
    pauses = [b - a for a, b in itertools.pairwise(tries[1:])]
    assert len(pauses) == 12
    assert 0.5 <= pauses[0] <= 2.5
    assert 150 <= pauses[-1] <= 302
    assert bench.queue.receives_of(bad) == 1
    moments = [0.0, *(moment for moment, _ in bench.queue.extensions)]
    assert max(b - a for a, b in itertools.pairwise(moments)) < bench.visibility_seconds


@pytest.mark.parametrize("retry_first", [False, True], ids=["before", "after"])
def test_an_outage_spends_one_receive_of_what_is_set_aside_and_of_what_is_new(bench: Bench, retry_first: bool) -> None:
    bad = send_bad(bench, 1, 2)
    bench.lane.run_once()
    if retry_first:
        run_for(bench, 5)
    begin = bench.clock.seconds
    bench.archive.failing = SERVER_ERROR
    new = [send(bench, number) for number in range(10, 20)]

    def mend() -> None:
        bench.archive.failing = None
        bench.archive.failing_keys.clear()

    bench.clock.at(begin + 6 * 3600, mend)
    run_until_empty(bench)
    assert sorted(bench.queue.deleted) == sorted(bad + new)
    assert bench.value("received_total") == 12
    assert bench.value("invalid_total", reason="store_refused") == 0
    assert bench.clock.seconds > begin + 6 * 3600


def test_an_outage_is_no_fault_of_what_was_set_aside_before(bench: Bench) -> None:
    send_bad(bench, 1)
    bench.lane.run_once()
    bench.archive.failing = SERVER_ERROR
    run_for(bench, 5 * 3600)
    assert bench.value("invalid_total", reason="store_refused") == 0
    assert bench.value("store_healthy") == 0
    bench.archive.failing = None
    bench.archive.failing_keys.clear()
    run_until_empty(bench)
    assert bench.value("received_total") == 1


@pytest.mark.parametrize("cause", ["access_denied", "throttled", "credentials", "no_such_bucket", "timeout"])
def test_what_may_hit_every_object_but_the_probe_is_an_outage_that_spends_one_receive(bench: Bench, cause: str) -> None:
    sent = [send(bench, number) for number in range(60)]
    bench.archive.failing_records = StoreError(cause)
    bench.clock.at(8 * 3600, lambda: setattr(bench.archive, "failing_records", None))
    run_for(bench, 7 * 3600)
    assert 10 <= bench.value("received_total") < 20  # and then no more, for there is no room
    assert (bench.value("store_healthy"), bench.value("lanes_full"), bench.lane.well) == (0, 1, False)
    run_until_empty(bench)
    assert sorted(bench.queue.deleted) == sorted(sent)
    assert bench.value("received_total") == 60
    assert (bench.value("store_healthy"), bench.value("lanes_full"), bench.lane.well) == (1, 0, True)


def test_access_denied_counts_against_an_object_once_others_are_stored(bench: Bench) -> None:
    bad = send_bad(bench, 1)
    bench.archive.error_of_keys = StoreError("access_denied", "AccessDenied")
    for number in itertools.count(2):
        send(bench, number)
        run_for(bench, 60)
        if bench.queue.dead:
            break
    assert bench.queue.dead == bad


def test_a_lane_whose_room_is_taken_up_receives_no_more_until_there_is_room(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    send_bad(bench, *range(40))
    with caplog.at_level(logging.INFO):
        run_for(bench, 20)
        held = bench.value("in_flight")
        assert MAX_OBJECTS <= held < MAX_OBJECTS + 10
        assert bench.value("lanes_full") == 1
        bench.archive.failing_keys.clear()
        run_until_empty(bench)
        bench.lane.run_once()
    assert bench.value("lanes_full") == 0
    lines = [r.message for r in caplog.records if r.message.startswith("a lane receives")]
    assert lines == [
        "a lane receives nothing until what it has set aside is stored or released",
        "a lane receives again",
    ]
    assert bench.value("received_total") == 40


def test_a_lane_without_room_turns_and_is_ready(bench: Bench) -> None:
    send_bad(bench, *range(40))
    run_for(bench, 20)
    assert bench.value("lanes_full") == 1
    for _ in range(50):
        bench.lane.run_once()
        assert bench.clock.seconds - bench.lane.last_beat_seconds <= 30.001
    assert bench.lane.well


def test_large_objects_take_up_the_room_too() -> None:
    aside = SetAside()
    for number in range(MAX_OBJECTS):
        item = NewObject(str(number), bytes(MAX_BYTES // 2), "", "", "")
        aside.add([Parcel(item, [])], 0, 0)
        if aside.full:
            break
    assert len(aside) == 2


@pytest.mark.parametrize("store_fails", [False, True])
def test_a_stop_releases_what_is_set_aside(bench: Bench, store_fails: bool) -> None:
    bad = send_bad(bench, 1, 2)
    run_for(bench, 5)
    if store_fails:
        bench.archive.failing = SERVER_ERROR
    bench.stop()
    bench.lane.run()
    assert bench.queue.visible() == bad
    assert [bench.queue.receives_of(sqs_id) for sqs_id in bad] == [1, 1]
    assert (bench.value("in_flight"), bench.value("set_aside")) == (0, 0)


def test_a_lane_that_fails_unexpectedly_releases_what_is_set_aside(bench: Bench) -> None:
    (bad,) = send_bad(bench, 1)
    bench.lane.run_once()
    receive = bench.queue.receive

    def breaks(wait_seconds: int) -> list[Message]:
        raise RuntimeError("unforeseen")

    def mend() -> None:
        bench.queue.receive = receive  # type: ignore[method-assign]
        bench.archive.failing_keys.clear()
        bench.queue.when_received = bench.stop

    bench.queue.receive = breaks  # type: ignore[method-assign]
    bench.clock.at(bench.clock.seconds + 0.01, mend)
    bench.lane.run()
    assert bench.queue.receives_of(bad) == 2
    assert bench.value("in_flight") == 0


def test_after_twelve_hours_what_is_set_aside_goes_back(bench: Bench) -> None:
    (sent,) = [send(bench, 1)]
    bench.archive.failing_records = StoreError("throttled", "SlowDown")
    while not bench.queue.visible() or not bench.clock.seconds:
        bench.lane.run_once()
    assert 11.5 * 3600 < bench.clock.seconds <= 12 * 3600
    assert (bench.queue.receives_of(sent), bench.value("in_flight"), bench.lane.checked) == (1, 0, False)


def test_a_pause_after_an_empty_poll_does_not_delay_an_extension() -> None:
    bench = Bench(long_poll_seconds=1, poll_interval_seconds=300, visibility_seconds=60).checked()
    (bad,) = send_bad(bench, 1)
    while bench.clock.seconds < 600:
        bench.lane.run_once()
        assert bad not in bench.queue.visible()
    assert bench.queue.receives_of(bad) == 1


def test_the_shortest_timings_keep_what_is_set_aside_hidden() -> None:
    bench = Bench(long_poll_seconds=20, visibility_seconds=3).checked()
    (bad,) = send_bad(bench, 1)
    bench.queue.when_released = bench.stop
    while not bench.value("invalid_total", reason="store_refused"):
        bench.lane.run_once()
    assert bench.queue.receives_of(bad) == 1


# ---- batches --------------------------------------------------------------------------------------------------------


def test_a_batch_that_fails_alone_holds_up_no_other_and_its_messages_find_other_company() -> None:
    layout = BatchPerHour("messages/", max_messages=20, max_bytes=1_000_000, max_seconds=30)
    bench = Bench(layout=layout, long_poll_seconds=1, max_receive_count=2).checked()
    sent = [send(bench, number) for number in range(20)]
    failed: set[str] = set()

    def first_batch_fails() -> None:
        failed.update(bench.archive.asked[:1])
        bench.archive.failing_keys |= failed

    bench.archive.when_put = first_batch_fails
    run_for(bench, 10)
    assert (bench.value("set_aside"), bench.value("in_flight")) == (20, 20)
    good = [send(bench, number) for number in range(20, 80)]
    run_for(bench, 60)
    assert sorted(bench.queue.deleted) == sorted(good)
    run_until_empty(bench)
    assert bench.value("invalid_total", reason="store_refused") == 20
    assert bench.queue.dead == []
    assert set(sent) < set(bench.queue.deleted)


def test_open_batches_and_set_aside_ones_stay_hidden_through_an_outage() -> None:
    layout = BatchPerHour("messages/", max_messages=20, max_bytes=1_000_000, max_seconds=30)
    bench = Bench(layout=layout, long_poll_seconds=1).checked()
    for number in range(25):
        send(bench, number)
    bench.archive.when_put = lambda: bench.archive.failing_keys.update(bench.archive.asked[:1])
    run_for(bench, 3)
    assert (bench.value("set_aside"), bench.value("in_flight")) == (20, 25)
    bench.archive.failing = SERVER_ERROR
    bench.archive.when_put = lambda: None

    def mend() -> None:
        bench.archive.failing = None
        bench.archive.failing_keys.clear()

    bench.clock.at(6 * 3600, mend)
    run_until_empty(bench)
    assert (bench.value("received_total"), bench.queue.dead) == (25, [])
