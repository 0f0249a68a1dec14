"""The lane, with fakes and no sleeps."""

import itertools
import logging
import math
import threading

import pytest

from pillarbox.message import encode_body
from service2_consumer.ports import StoreError

from .fakes import LaneHarness, email, message_id

SERVER_ERROR = StoreError("server_error", "InternalError")


@pytest.fixture
def harness() -> LaneHarness:
    return LaneHarness().checked()


def key_of(number: int) -> str:
    return f"messages/2026/12/10/{message_id(number)}.json"


def send(harness: LaneHarness, number: int, **changes: str) -> str:
    return harness.queue.send(encode_body(email(number, **changes)), {"message_id": message_id(number)})


def test_cycle_stores_each_message_and_deletes_them_in_one_call(harness: LaneHarness) -> None:
    sent = [send(harness, number) for number in range(10)]
    harness.lane.run_once()
    assert sorted(harness.archive.objects) == sorted(key_of(number) for number in range(10))
    assert (sorted(harness.queue.deleted), harness.queue.delete_calls) == (sorted(sent), 1)
    assert (harness.value("stored_total"), harness.value("deleted_total"), harness.value("in_flight")) == (10, 10, 0)


def test_nothing_is_received_before_a_write_has_succeeded() -> None:
    harness = LaneHarness()
    sent = send(harness, 1)
    harness.archive.failing = StoreError("access_denied", "AccessDenied")
    for _ in range(5):
        harness.lane.run_once()
    assert (harness.queue.receives_of(sent), harness.lane.checked) == (0, False)
    harness.archive.failing = None
    harness.lane.run_once()
    harness.lane.run_once()
    assert harness.queue.deleted == [sent]


def test_lane_without_a_queue_fails_the_check_and_keeps_running() -> None:
    harness = LaneHarness()
    harness.queue.failing = "AWS.SimpleQueueService.NonExistentQueue"
    for _ in range(5):
        harness.lane.run_once()
    assert not harness.lane.checked
    assert harness.value("polls_total", outcome="error") == 5
    assert harness.archive.probes == 0
    assert harness.clock.seconds - harness.lane.last_beat_seconds == pytest.approx(harness.clock.waits[-1])


def test_message_received_twice_is_one_object_and_both_are_acknowledged(harness: LaneHarness) -> None:
    sent = [send(harness, 1), send(harness, 1)]
    harness.lane.run_once()
    assert list(harness.archive.objects) == [key_of(1)]
    assert sorted(harness.queue.deleted) == sent
    assert (harness.value("stored_total"), harness.value("duplicates_total")) == (1, 1)


def test_other_email_with_the_same_id_is_stored_as_a_conflict(
    harness: LaneHarness, caplog: pytest.LogCaptureFixture
) -> None:
    send(harness, 1)
    harness.lane.run_once()
    send(harness, 1, email_content="another text")
    harness.lane.run_once()
    (conflict,) = [key for key in harness.archive.objects if key.startswith("conflicts/")]
    assert conflict.startswith(f"conflicts/2026/12/10/{message_id(1)}/")
    assert harness.value("conflicts_total") == 1
    assert not harness.queue.messages
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
def test_poison_is_released_at_once_without_delaying_other_messages(
    harness: LaneHarness, body: str, reason: str
) -> None:
    poison, good = harness.queue.send(body), send(harness, 1)
    harness.lane.run_once()
    assert harness.queue.deleted == [good]
    assert harness.queue.visible() == [poison]
    assert harness.value("invalid_total", reason=reason) == 1


def test_poison_reaches_the_dead_letter_queue_and_is_counted_and_logged_once(
    harness: LaneHarness, caplog: pytest.LogCaptureFixture
) -> None:
    poison = harness.queue.send("no JSON; a secret")
    for _ in range(4):
        harness.lane.run_once()
    assert harness.queue.dead == [poison]
    assert harness.value("invalid_total", reason="invalid_json") == 1
    (line,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert (line.message_id, line.reason) == (poison, "invalid_json")  # type: ignore[attr-defined]
    assert "secret" not in caplog.text + line.problem  # type: ignore[attr-defined]


def test_poison_is_logged_with_the_message_id_of_its_sender(
    harness: LaneHarness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.queue.send("{", {"message_id": message_id(7)})
    harness.lane.run_once()
    assert [r.message_id for r in caplog.records] == [message_id(7)]  # type: ignore[attr-defined]


def test_poison_without_a_dead_letter_queue_is_released_a_limited_number_of_times() -> None:
    harness = LaneHarness(max_receive_count=10_000).checked()
    poison = harness.queue.send("{")
    for _ in range(150):
        harness.lane.run_once()
    assert 100 < harness.queue.receives_of(poison) <= 101 + 50 * 20 / 300
    assert harness.queue.visible() == []
    assert harness.lane.release_all() == 0


def test_object_refused_by_s3_is_treated_as_poison(harness: LaneHarness) -> None:
    refused, good = send(harness, 1), send(harness, 2)
    harness.archive.refusing.add(key_of(1))
    harness.lane.run_once()
    assert harness.queue.deleted == [good]
    assert harness.queue.visible() == [refused]
    assert harness.value("invalid_total", reason="refused_by_store") == 1


def test_messages_without_a_valid_id_are_stored_under_their_sqs_id(harness: LaneHarness) -> None:
    first, second = harness.queue.send(number=1), harness.queue.send(attributes={"message_id": "../../etc/passwd"})
    harness.lane.run_once()
    assert sorted(harness.archive.objects) == [f"messages/2026/12/10/{i}.json" for i in (first, second)]


def test_long_outage_uses_one_receive(harness: LaneHarness) -> None:
    sent = [send(harness, number) for number in range(10)]
    harness.archive.failing = SERVER_ERROR
    harness.clock.at(2 * 3600, lambda: setattr(harness.archive, "failing", None))
    harness.lane.run_once()
    assert sorted(harness.queue.deleted) == sorted(sent)
    assert not harness.queue.dead
    assert harness.value("received_total") == 10
    assert harness.clock.seconds < 2 * 3600 + 60
    timestamps = [timestamp for timestamp, _ in harness.queue.extensions]
    assert max(b - a for a, b in itertools.pairwise(timestamps)) < harness.visibility_seconds


def test_lane_waiting_for_s3_makes_progress(harness: LaneHarness) -> None:
    beats: list[float] = []
    send(harness, 1)
    harness.archive.failing = SERVER_ERROR
    harness.archive.when_put = lambda: beats.append(harness.clock.seconds - harness.lane.last_beat_seconds)
    harness.clock.at(3600, lambda: setattr(harness.archive, "failing", None))
    harness.lane.run_once()
    assert max(beats) <= 30


def test_outage_pauses_grow_and_have_jitter() -> None:
    harness = LaneHarness(visibility_seconds=3600).checked()  # no extension is due, which would shorten a pause
    send(harness, 1)
    harness.archive.failing = SERVER_ERROR
    harness.clock.at(600, lambda: setattr(harness.archive, "failing", None))
    harness.lane.run_once()
    ceilings = [min(30, 0.1 * 2**number) for number in range(len(harness.clock.waits))]
    shares = [pause / ceiling for pause, ceiling in zip(harness.clock.waits, ceilings, strict=True)]
    assert len(shares) > 20
    assert all(0.5 <= share <= 1 for share in shares)
    assert max(shares) - min(shares) > 0.01


def test_messages_are_released_after_twelve_hours_and_none_is_received_until_s3_works(harness: LaneHarness) -> None:
    sent = send(harness, 1)
    harness.archive.failing = SERVER_ERROR
    harness.lane.run_once()
    assert 11.5 * 3600 < harness.clock.seconds <= 12 * 3600
    assert harness.queue.visible() == [sent]
    for _ in range(10):
        harness.lane.run_once()
    assert harness.queue.receives_of(sent) == 1
    harness.archive.failing = None
    harness.lane.run_once()
    harness.lane.run_once()
    assert harness.queue.deleted == [sent]


def test_failed_extension_does_not_release_the_messages(harness: LaneHarness) -> None:
    sent = send(harness, 1)
    harness.archive.failing = SERVER_ERROR
    harness.queue.failing_extensions = True
    harness.clock.at(1000, lambda: setattr(harness.archive, "failing", None))
    harness.lane.run_once()
    assert harness.queue.deleted == [sent]
    assert max(harness.clock.waits) > 10  # the retries are not made earlier


def test_failed_extension_is_retried_before_the_timeout(harness: LaneHarness) -> None:
    sent = send(harness, 1)
    harness.archive.failing = SERVER_ERROR
    harness.queue.failing_extensions = True
    harness.clock.at(200, lambda: setattr(harness.queue, "failing_extensions", False))
    harness.clock.at(2000, lambda: setattr(harness.archive, "failing", None))
    harness.lane.run_once()
    assert harness.queue.extensions[0][0] < harness.visibility_seconds
    assert harness.queue.deleted == [sent]


def test_several_causes_in_one_attempt_are_one_log_line(harness: LaneHarness, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(10):
        send(harness, number)
    causes = itertools.cycle([StoreError("timeout"), StoreError("throttled"), StoreError("server_error")])
    harness.archive.when_put = lambda: setattr(
        harness.archive, "failing", next(causes) if harness.clock.seconds < 600 else None
    )
    with caplog.at_level(logging.INFO):
        harness.lane.run_once()
    lines = [r.message for r in caplog.records if r.message.startswith("S3 ")]
    assert 2 <= len(lines) <= 4
    assert lines[-1] == "S3 works again"


@pytest.mark.parametrize("cause", ["access_denied", "no_such_bucket", "credentials"])
def test_outage_that_needs_an_operator_is_logged_as_error(
    harness: LaneHarness, cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    sent = send(harness, 1)
    harness.archive.failing = StoreError(cause, "Code")
    harness.clock.at(600, lambda: setattr(harness.archive, "failing", None))
    with caplog.at_level(logging.INFO):
        harness.lane.run_once()
    assert harness.queue.deleted == [sent]
    assert [r.levelname for r in caplog.records if r.message.startswith("S3 ")] == ["ERROR", "INFO"]
    assert harness.value("store_failures_total", cause=cause) > 5


def test_store_healthy_is_unknown_until_the_store_was_tried() -> None:
    harness = LaneHarness()
    harness.queue.failing = "AWS.SimpleQueueService.NonExistentQueue"
    harness.lane.run_once()
    assert math.isnan(harness.value("store_healthy"))
    harness.queue.failing = ""
    harness.lane.run_once()
    assert harness.value("store_healthy") == 1


def test_store_healthy_is_0_during_an_outage(harness: LaneHarness) -> None:
    seen: list[float] = []
    send(harness, 1)
    harness.archive.failing = SERVER_ERROR

    def recover() -> None:
        seen.append(harness.value("store_healthy"))
        harness.archive.failing = None

    harness.clock.at(600, recover)
    harness.lane.run_once()
    assert [*seen, harness.value("store_healthy")] == [0, 1]


def test_failed_delete_is_counted_and_not_retried(harness: LaneHarness) -> None:
    sent = send(harness, 1)
    harness.queue.failing_deletes = True
    harness.lane.run_once()
    assert (harness.value("delete_failures_total"), harness.value("deleted_total"), harness.value("in_flight")) == (
        1,
        0,
        0,
    )
    harness.queue.failing_deletes = False
    harness.clock.advance(harness.visibility_seconds)
    harness.lane.run_once()
    assert harness.queue.deleted == [sent]
    assert (harness.value("stored_total"), harness.value("duplicates_total")) == (1, 1)


def test_sqs_outage_is_logged_once_per_change_with_growing_pauses(
    harness: LaneHarness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.queue.failing = "RequestThrottled"
    with caplog.at_level(logging.INFO):
        for _ in range(20):
            harness.lane.run_once()
        harness.queue.failing = "ExpiredToken"
        harness.lane.run_once()
        harness.queue.failing = ""
        harness.lane.run_once()
    lines = [(r.levelname, getattr(r, "cause", "")) for r in caplog.records]
    assert lines == [("WARNING", "RequestThrottled"), ("WARNING", "ExpiredToken"), ("INFO", "")]
    assert harness.clock.waits[0] < 1 < harness.clock.waits[-1] <= 30
    assert harness.value("polls_total", outcome="error") == 21


def test_empty_poll_is_followed_by_a_pause_only_if_set() -> None:
    harness = LaneHarness(poll_interval_seconds=7).checked()
    send(harness, 1)
    harness.lane.run_once()
    assert harness.clock.waits == []
    harness.lane.run_once()
    assert harness.clock.waits == [7]


def test_messages_received_after_the_stop_are_released(harness: LaneHarness) -> None:
    sent = send(harness, 1)
    harness.queue.when_received = harness.stop
    harness.lane.run()
    assert harness.queue.visible() == [sent]
    assert harness.archive.objects == {}
    assert (harness.value("released_total"), harness.value("in_flight")) == (1, 0)


def test_messages_being_stored_at_the_stop_are_stored_and_acknowledged(harness: LaneHarness) -> None:
    sent = send(harness, 1)
    harness.archive.when_put = harness.stop
    harness.lane.run()
    assert harness.queue.deleted == [sent]


def test_stop_during_an_outage_releases_messages_after_one_more_attempt(harness: LaneHarness) -> None:
    sent = send(harness, 1)
    harness.archive.failing = SERVER_ERROR
    harness.clock.at(1000, harness.stop)
    harness.lane.run()
    assert harness.queue.visible() == [sent]
    assert harness.queue.receives_of(sent) == 1
    assert harness.clock.seconds < 1060


def test_abandon_does_not_wait_for_s3_and_releases_messages(harness: LaneHarness) -> None:
    sent = send(harness, 1)
    hang, entered = threading.Event(), threading.Event()

    def put_hangs() -> None:
        entered.set()
        hang.wait(30)

    harness.archive.when_put = put_hangs
    thread = threading.Thread(target=harness.lane.run)
    thread.start()
    assert entered.wait(10)
    harness.stop()
    harness.stop_events.abandoned.set()
    thread.join(10)
    assert not thread.is_alive()
    assert harness.queue.visible() == [sent]
    hang.set()


def test_unexpected_error_releases_messages_and_the_lane_continues(
    harness: LaneHarness, caplog: pytest.LogCaptureFixture
) -> None:
    sent = send(harness, 1)

    def breaks_once() -> None:
        harness.archive.when_put = harness.stop
        raise RuntimeError("unforeseen")

    harness.archive.when_put = breaks_once
    harness.lane.run()
    assert harness.queue.deleted == [sent]
    assert "unforeseen" in caplog.text


def test_lane_continues_although_the_release_fails(harness: LaneHarness, caplog: pytest.LogCaptureFixture) -> None:
    send(harness, 1)
    failures = ["store", "release"]

    def store_breaks() -> None:
        if "store" in failures:
            failures.remove("store")
            raise RuntimeError("unforeseen")

    def release_breaks(receipts: object, seconds: int) -> list[str]:
        if "release" in failures:
            failures.remove("release")
            harness.stop()
            raise RuntimeError("unforeseen, too")
        return []

    harness.archive.when_put = store_breaks
    harness.queue.change_visibility = release_breaks  # type: ignore[method-assign]
    harness.lane.run()
    assert failures == []
    assert "unforeseen, too" in caplog.text
