"""The lane, with fakes and no sleeps."""

import itertools
import logging
import threading

import pytest

from pillarbox.message import encode_body
from service2_consumer.ports import StoreError

from .fakes import Bench, email, message_id

SERVER_ERROR = StoreError("server_error", "InternalError")


@pytest.fixture
def bench() -> Bench:
    return Bench().checked()


def key_of(number: int) -> str:
    return f"messages/2026/12/10/{message_id(number)}.json"


def send(bench: Bench, number: int, **changes: str) -> str:
    return bench.queue.send(encode_body(email(number, **changes)), {"message_id": message_id(number)})


def test_a_cycle_stores_each_message_and_deletes_them_in_one_call(bench: Bench) -> None:
    sent = [send(bench, number) for number in range(10)]
    bench.lane.run_once()
    assert sorted(bench.archive.objects) == sorted(key_of(number) for number in range(10))
    assert (sorted(bench.queue.deleted), bench.queue.delete_calls) == (sorted(sent), 1)
    assert (bench.value("stored_total"), bench.value("deleted_total"), bench.value("in_flight")) == (10, 10, 0)


def test_nothing_is_received_before_a_write_has_succeeded() -> None:
    bench = Bench()
    sent = send(bench, 1)
    bench.archive.failing = StoreError("access_denied", "AccessDenied")
    for _ in range(5):
        bench.lane.run_once()
    assert (bench.queue.receives_of(sent), bench.lane.checked) == (0, False)
    bench.archive.failing = None
    bench.lane.run_once()
    bench.lane.run_once()
    assert bench.queue.deleted == [sent]


def test_a_lane_without_its_queue_does_not_pass_the_check_and_turns_all_the_same() -> None:
    bench = Bench()
    bench.queue.failing = "AWS.SimpleQueueService.NonExistentQueue"
    for _ in range(5):
        bench.lane.run_once()
    assert not bench.lane.checked
    assert bench.archive.probes == 0
    assert bench.clock.seconds - bench.lane.last_beat_seconds == pytest.approx(bench.clock.waits[-1])


def test_the_same_message_twice_gives_one_object_and_both_are_acknowledged(bench: Bench) -> None:
    sent = [send(bench, 1), send(bench, 1)]
    bench.lane.run_once()
    assert list(bench.archive.objects) == [key_of(1)]
    assert sorted(bench.queue.deleted) == sent
    assert (bench.value("stored_total"), bench.value("duplicates_total")) == (1, 1)


def test_another_email_under_a_used_id_is_kept_apart(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    send(bench, 1)
    bench.lane.run_once()
    send(bench, 1, email_content="another text")
    bench.lane.run_once()
    (conflict,) = [key for key in bench.archive.objects if key.startswith("conflicts/")]
    assert conflict.startswith(f"conflicts/2026/12/10/{message_id(1)}/")
    assert bench.value("conflicts_total") == 1
    assert not bench.queue.messages
    assert [r.message_id for r in caplog.records if r.levelno == logging.WARNING] == [message_id(1)]  # type: ignore[attr-defined]


POISON = [
    ("{", "invalid_json"),
    ('["no", "object"]', "not_an_email"),
    ('{"email_subject": "only"}', "not_an_email"),
    (encode_body(email(email_content=7)), "not_an_email"),
    (encode_body(email(email_timestream=True)), "not_an_email"),
    ("[" * 70 + "]" * 70, "too_deep"),
    ('{"email_subject":"a","email_subject":"b"}', "invalid_json"),
    (encode_body(email())[:-1] + ',"n":0.12345678901234567890123}', "number_precision"),
    ('"\\ud800"', "invalid_json"),
    ("\ud800", "invalid_json"),
]


@pytest.mark.parametrize(("body", "reason"), POISON)
def test_poison_is_released_at_once_and_does_not_hold_up_its_neighbours(bench: Bench, body: str, reason: str) -> None:
    poison, good = bench.queue.send(body), send(bench, 1)
    bench.lane.run_once()
    assert bench.queue.deleted == [good]
    assert bench.queue.visible() == [poison]
    assert bench.value("invalid_total", reason=reason) == 1


def test_poison_reaches_the_dead_letter_queue_and_is_counted_and_logged_once(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    poison = bench.queue.send("no JSON; a secret")
    for _ in range(4):
        bench.lane.run_once()
    assert bench.queue.dead == [poison]
    assert bench.value("invalid_total", reason="invalid_json") == 1
    (line,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert (line.message_id, line.reason) == (poison, "invalid_json")  # type: ignore[attr-defined]
    assert "secret" not in caplog.text + line.problem  # type: ignore[attr-defined]


def test_poison_is_named_by_the_id_that_its_sender_knows(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.queue.send("{", {"message_id": message_id(7)})
    bench.lane.run_once()
    assert [r.message_id for r in caplog.records] == [message_id(7)]  # type: ignore[attr-defined]


def test_poison_without_a_dead_letter_queue_slows_down() -> None:
    bench = Bench(max_receive_count=10_000).checked()
    poison = bench.queue.send("{")
    for _ in range(150):
        bench.lane.run_once()
    assert 100 < bench.queue.receives_of(poison) <= 101 + 50 * 20 / 300
    assert bench.queue.visible() == []
    assert bench.lane.release_held() == 0


def test_an_object_that_s3_will_never_take_is_treated_as_poison(bench: Bench) -> None:
    refused, good = send(bench, 1), send(bench, 2)
    bench.archive.refusing.add(key_of(1))
    bench.lane.run_once()
    assert bench.queue.deleted == [good]
    assert bench.queue.visible() == [refused]
    assert bench.value("invalid_total", reason="refused_by_store") == 1


def test_messages_without_a_valid_id_are_stored_under_their_sqs_id(bench: Bench) -> None:
    first, second = bench.queue.send(number=1), bench.queue.send(attributes={"message_id": "../../etc/passwd"})
    bench.lane.run_once()
    assert sorted(bench.archive.objects) == [f"messages/2026/12/10/{i}.json" for i in (first, second)]


def test_an_outage_of_many_visibility_timeouts_spends_one_receive(bench: Bench) -> None:
    sent = [send(bench, number) for number in range(10)]
    bench.archive.failing = SERVER_ERROR
    bench.clock.at(2 * 3600, lambda: setattr(bench.archive, "failing", None))
    bench.lane.run_once()
    assert sorted(bench.queue.deleted) == sorted(sent)
    assert not bench.queue.dead
    assert bench.value("received_total") == 10
    assert bench.clock.seconds < 2 * 3600 + 60
    moments = [moment for moment, _ in bench.queue.extensions]
    assert max(b - a for a, b in itertools.pairwise(moments)) < bench.visibility_seconds


def test_waiting_for_s3_is_being_alive(bench: Bench) -> None:
    beats: list[float] = []
    send(bench, 1)
    bench.archive.failing = SERVER_ERROR
    bench.archive.when_put = lambda: beats.append(bench.clock.seconds - bench.lane.last_beat_seconds)
    bench.clock.at(3600, lambda: setattr(bench.archive, "failing", None))
    bench.lane.run_once()
    assert max(beats) <= 30


def test_the_pauses_of_an_outage_grow_and_have_jitter() -> None:
    bench = Bench(visibility_seconds=3600).checked()  # no extension falls due and shortens a pause
    send(bench, 1)
    bench.archive.failing = SERVER_ERROR
    bench.clock.at(600, lambda: setattr(bench.archive, "failing", None))
    bench.lane.run_once()
    ceilings = [min(30, 0.1 * 2**number) for number in range(len(bench.clock.waits))]
    shares = [pause / ceiling for pause, ceiling in zip(bench.clock.waits, ceilings, strict=True)]
    assert len(shares) > 20
    assert all(0.5 <= share <= 1 for share in shares)
    assert max(shares) - min(shares) > 0.01


def test_after_twelve_hours_messages_go_back_and_none_is_received_until_s3_works(bench: Bench) -> None:
    sent = send(bench, 1)
    bench.archive.failing = SERVER_ERROR
    bench.lane.run_once()
    assert 11.5 * 3600 < bench.clock.seconds <= 12 * 3600
    assert bench.queue.visible() == [sent]
    for _ in range(10):
        bench.lane.run_once()
    assert bench.queue.receives_of(sent) == 1
    bench.archive.failing = None
    bench.lane.run_once()
    bench.lane.run_once()
    assert bench.queue.deleted == [sent]


def test_an_extension_that_fails_does_not_end_the_keeping(bench: Bench) -> None:
    sent = send(bench, 1)
    bench.archive.failing = SERVER_ERROR
    bench.queue.failing_extensions = True
    bench.clock.at(1000, lambda: setattr(bench.archive, "failing", None))
    bench.lane.run_once()
    assert bench.queue.deleted == [sent]
    assert max(bench.clock.waits) > 10  # and does not hurry the tries


def test_an_extension_that_failed_is_tried_again_before_the_message_shows(bench: Bench) -> None:
    sent = send(bench, 1)
    bench.archive.failing = SERVER_ERROR
    bench.queue.failing_extensions = True
    bench.clock.at(200, lambda: setattr(bench.queue, "failing_extensions", False))
    bench.clock.at(2000, lambda: setattr(bench.archive, "failing", None))
    bench.lane.run_once()
    assert bench.queue.extensions[0][0] < bench.visibility_seconds
    assert bench.queue.deleted == [sent]


def test_many_causes_in_one_attempt_are_one_line(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(10):
        send(bench, number)
    causes = itertools.cycle([StoreError("timeout"), StoreError("throttled"), StoreError("server_error")])
    bench.archive.when_put = lambda: setattr(
        bench.archive, "failing", next(causes) if bench.clock.seconds < 600 else None
    )
    with caplog.at_level(logging.INFO):
        bench.lane.run_once()
    told = [r.message for r in caplog.records if r.message.startswith("S3 ")]
    assert 2 <= len(told) <= 4
    assert told[-1] == "S3 works again"


@pytest.mark.parametrize("cause", ["access_denied", "no_such_bucket", "credentials"])
def test_what_an_operator_must_mend_is_an_outage_with_a_loud_log(
    bench: Bench, cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    sent = send(bench, 1)
    bench.archive.failing = StoreError(cause, "Code")
    bench.clock.at(600, lambda: setattr(bench.archive, "failing", None))
    with caplog.at_level(logging.INFO):
        bench.lane.run_once()
    assert bench.queue.deleted == [sent]
    assert [r.levelname for r in caplog.records if r.message.startswith("S3 ")] == ["ERROR", "INFO"]
    assert bench.value("store_failures_total", cause=cause) > 5


def test_store_healthy_falls_while_an_outage_lasts(bench: Bench) -> None:
    seen: list[float] = []
    send(bench, 1)
    bench.archive.failing = SERVER_ERROR

    def mend() -> None:
        seen.append(bench.value("store_healthy"))
        bench.archive.failing = None

    bench.clock.at(600, mend)
    bench.lane.run_once()
    assert [*seen, bench.value("store_healthy")] == [0, 1]


def test_a_failed_delete_is_counted_and_left_to_redelivery(bench: Bench) -> None:
    sent = send(bench, 1)
    bench.queue.failing_deletes = True
    bench.lane.run_once()
    assert (bench.value("delete_failures_total"), bench.value("deleted_total"), bench.value("in_flight")) == (1, 0, 0)
    bench.queue.failing_deletes = False
    bench.clock.advance(bench.visibility_seconds)
    bench.lane.run_once()
    assert bench.queue.deleted == [sent]
    assert (bench.value("stored_total"), bench.value("duplicates_total")) == (1, 1)


def test_sqs_trouble_is_one_log_line_a_change_and_growing_pauses(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.queue.failing = "RequestThrottled"
    with caplog.at_level(logging.INFO):
        for _ in range(20):
            bench.lane.run_once()
        bench.queue.failing = "ExpiredToken"
        bench.lane.run_once()
        bench.queue.failing = ""
        bench.lane.run_once()
    lines = [(r.levelname, getattr(r, "cause", "")) for r in caplog.records]
    assert lines == [("WARNING", "RequestThrottled"), ("WARNING", "ExpiredToken"), ("INFO", "")]
    assert bench.clock.waits[0] < 1 < bench.clock.waits[-1] <= 30
    assert bench.value("polls_total", outcome="error") == 21


def test_a_pause_follows_an_empty_poll_only_if_one_is_set() -> None:
    bench = Bench(poll_interval_seconds=7).checked()
    send(bench, 1)
    bench.lane.run_once()
    assert bench.clock.waits == []
    bench.lane.run_once()
    assert bench.clock.waits == [7]


def test_what_a_long_poll_brings_after_the_stop_is_released(bench: Bench) -> None:
    sent = send(bench, 1)
    bench.queue.when_received = bench.stop
    bench.lane.run()
    assert bench.queue.visible() == [sent]
    assert bench.archive.objects == {}
    assert (bench.value("released_total"), bench.value("in_flight")) == (1, 0)


def test_what_was_being_stored_at_the_stop_is_stored_and_acknowledged(bench: Bench) -> None:
    sent = send(bench, 1)
    bench.archive.when_put = bench.stop
    bench.lane.run()
    assert bench.queue.deleted == [sent]


def test_a_stop_during_an_outage_releases_what_is_held_after_one_more_try(bench: Bench) -> None:
    sent = send(bench, 1)
    bench.archive.failing = SERVER_ERROR
    bench.clock.at(1000, bench.stop)
    bench.lane.run()
    assert bench.queue.visible() == [sent]
    assert bench.queue.receives_of(sent) == 1
    assert bench.clock.seconds < 1060


def test_giving_up_does_not_wait_for_s3_and_still_releases(bench: Bench) -> None:
    sent = send(bench, 1)
    hang, entered = threading.Event(), threading.Event()

    def put_hangs() -> None:
        entered.set()
        hang.wait(30)

    bench.archive.when_put = put_hangs
    thread = threading.Thread(target=bench.lane.run)
    thread.start()
    assert entered.wait(10)
    bench.stop()
    bench.stopping.gave_up.set()
    thread.join(10)
    assert not thread.is_alive()
    assert bench.queue.visible() == [sent]
    hang.set()


def test_a_lane_that_fails_unexpectedly_releases_what_it_holds_and_goes_on(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    sent = send(bench, 1)

    def breaks_once() -> None:
        bench.archive.when_put = bench.stop
        raise RuntimeError("unforeseen")

    bench.archive.when_put = breaks_once
    bench.lane.run()
    assert bench.queue.deleted == [sent]
    assert "unforeseen" in caplog.text


def test_a_lane_whose_release_fails_as_well_goes_on(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    send(bench, 1)
    failures = ["store", "release"]

    def store_breaks() -> None:
        if "store" in failures:
            failures.remove("store")
            raise RuntimeError("unforeseen")

    def release_breaks(receipts: object, seconds: int) -> list[str]:
        if "release" in failures:
            failures.remove("release")
            bench.stop()
            raise RuntimeError("unforeseen, too")
        return []

    bench.archive.when_put = store_breaks
    bench.queue.change_visibility = release_breaks  # type: ignore[method-assign]
    bench.lane.run()
    assert failures == []
    assert "unforeseen, too" in caplog.text
