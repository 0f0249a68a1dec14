"""A lane that reads e-mails from S3: failed reads, single failing objects, the budget, several records per message."""

import logging

import pytest

from pillarbox.ids import message_id_at
from pillarbox.message import encode_body
from pillarbox.payload import Pointer
from service2_consumer.batching import HourlyBatcher, SingleBatcher
from service2_consumer.intake.message_filter import MessageFilter
from service2_consumer.intake.messages import MessageIntake, PayloadStore
from service2_consumer.model import Download, InFlightMessage, PoisonError, Reading
from service2_consumer.ports import StoreError

from .fakes import START, FakeSource, LaneHarness, email, message_id

SERVER_ERROR = StoreError("server_error", "InternalError")


class Payloads(LaneHarness):
    """A lane that follows pointers."""

    def __post_init__(self) -> None:
        self.source = FakeSource()
        super().__post_init__()

    def message_intake(self) -> MessageIntake:
        return MessageIntake(
            self.recorder,
            MessageFilter("source=a"),
            on_filtered="drop",
            payloads=PayloadStore(self.source, "payloads", "payloads/"),
            max_payload_bytes=10_000,
        )

    def send_pointer(self, number: int) -> str:
        content = encode_body(email(number)).encode()
        key = f"payloads/{number}"
        self.source.objects[key] = content
        return self.send_message(number, Pointer("payloads", key, len(content)).body(), str(len(content)))

    def send_message(self, number: int, body: str, size: str = "") -> str:
        attributes = {"message_id": message_id(number), "source": "a"} | ({"ExtendedPayloadSize": size} if size else {})
        return self.queue.send(body, attributes)

    def numbers_stored(self) -> list[int]:
        keys = {f"messages/2026/12/10/{message_id(number)}.json": number for number in range(100)}
        return sorted(keys[key] for key in self.archive.objects)


@pytest.fixture
def harness() -> Payloads:
    lane = Payloads(long_poll_seconds=1)
    lane.checked()
    return lane


def run_for(harness: LaneHarness, seconds: float) -> None:
    end = harness.clock.seconds + seconds
    while harness.clock.seconds < end:
        harness.lane.run_once()


def test_emails_in_messages_and_behind_pointers_are_stored_and_deleted(harness: Payloads) -> None:
    sent = [harness.send_pointer(1), harness.send_message(2, encode_body(email(2))), harness.send_pointer(3)]
    harness.lane.run_once()
    assert sorted(harness.queue.deleted) == sent
    assert harness.numbers_stored() == [1, 2, 3]
    assert (harness.value("read_seconds_count"), harness.value("stored_total")) == (2, 3)
    assert harness.value("read_bytes_total") == sum(map(len, harness.source.objects.values()))


def test_an_outage_of_reads_keeps_the_messages_and_spends_one_receive(harness: Payloads) -> None:
    sent = [harness.send_pointer(number) for number in range(3)]
    harness.source.failing = SERVER_ERROR
    harness.clock.at(3000, lambda: setattr(harness.source, "failing", None))
    harness.lane.run_once()
    assert harness.clock.seconds >= 3000
    assert sorted(harness.queue.deleted) == sent
    assert [seconds for _, seconds in harness.queue.extensions] == [300] * len(harness.queue.extensions)
    assert len(harness.queue.extensions) >= 3000 / 300
    assert harness.value("received_total") == 3
    assert harness.value("read_failures_total", cause="server_error") > 3
    assert (harness.value("store_healthy"), harness.value("store_failures_total", cause="server_error")) == (1, 0)


def test_an_outage_of_reads_makes_the_lane_unready(harness: Payloads) -> None:
    harness.send_pointer(1)
    harness.source.failing = SERVER_ERROR
    seen = []
    harness.clock.at(100, lambda: seen.append(harness.lane.well))
    harness.clock.at(200, lambda: setattr(harness.source, "failing", None))
    harness.lane.run_once()
    assert (seen, harness.lane.well) == ([False], True)


def test_an_object_that_fails_alone_holds_up_nothing_behind_it(harness: Payloads) -> None:
    bad = harness.send_pointer(1)
    harness.source.failing_keys = {"payloads/1"}
    good = [harness.send_pointer(number) for number in range(2, 30)]
    for _ in range(6):
        harness.lane.run_once()
    assert sorted(harness.queue.deleted) == sorted(good)
    assert (harness.queue.receives_of(bad), harness.value("set_aside")) == (1, 1)
    harness.source.failing_keys = set()
    run_for(harness, 400)
    assert bad in harness.queue.deleted
    assert harness.value("set_aside") == 0


def test_an_object_that_fails_alone_for_ever_reaches_the_dead_letter_queue(
    harness: Payloads, caplog: pytest.LogCaptureFixture
) -> None:
    bad = harness.send_pointer(1)
    harness.source.failing_keys = {"payloads/1"}
    run_for(harness, 5 * 3600)
    assert harness.queue.dead == [bad]
    assert "released towards the dead-letter queue" in caplog.text


def test_a_retried_read_is_stored_in_the_same_cycle_and_before_the_next_poll(harness: Payloads) -> None:
    harness.send_pointer(1)
    harness.source.failing_keys = {"payloads/1"}
    harness.lane.run_once()
    harness.source.failing_keys = set()
    harness.clock.advance(10)
    polls = len(harness.queue.waits)
    seen: list[int] = []
    harness.archive.when_put = lambda: seen.append(len(harness.queue.waits))
    harness.lane.run_once()
    assert seen == [polls]
    assert harness.numbers_stored() == [1]


def test_no_more_bytes_are_read_at_once_than_the_budget_allows() -> None:
    harness = Payloads(long_poll_seconds=1, read_budget_bytes=500)
    harness.checked()
    size = len(encode_body(email(1)))
    for number in range(10):
        harness.send_pointer(number)
    begun: list[str] = []
    put_after: list[int] = []
    harness.source.when_read = begun.append
    harness.archive.when_put = lambda: put_after.append(len(begun))
    harness.lane.run_once()
    at_once = 500 // size
    assert at_once > 1
    assert harness.numbers_stored() == list(range(10))
    # Every object is stored before more than the next ones are read.
    assert put_after[0] == at_once
    assert max(read - stored for stored, read in enumerate(put_after)) <= at_once


def test_one_object_larger_than_the_budget_is_read_alone() -> None:
    harness = Payloads(long_poll_seconds=1, read_budget_bytes=10)
    harness.checked()
    for number in range(3):
        harness.send_pointer(number)
    harness.lane.run_once()
    assert harness.numbers_stored() == [0, 1, 2]


def test_a_lane_that_waits_for_the_budget_keeps_its_messages_hidden_and_stops_when_told() -> None:
    harness = Payloads(long_poll_seconds=1)
    harness.checked()
    sent = harness.send_pointer(1)
    harness.budget.take([1000], lambda: False)  # by another lane
    harness.lane._transfers._beat = harness.stop
    harness.lane.run_once()
    harness.lane.drain()
    assert (harness.queue.visible(), harness.source.asked) == ([sent], [])


def test_a_stop_during_an_outage_of_reads_releases_the_messages(harness: Payloads) -> None:
    sent = harness.send_pointer(1)
    harness.source.failing = SERVER_ERROR
    harness.clock.at(30, harness.stop)
    harness.lane.run_once()
    harness.lane.drain()
    assert harness.queue.visible() == [sent]
    assert harness.value("in_flight") == 0


def test_filtered_messages_are_deleted_and_counted(harness: Payloads) -> None:
    sent = harness.queue.send(encode_body(email()), {"source": "b"})
    harness.lane.run_once()
    assert (harness.queue.deleted, harness.archive.objects) == ([sent], {})
    assert harness.value("skipped_total", reason="filtered") == 1


class Scripted:
    """An intake that reads the objects that a test sets."""

    def __init__(self) -> None:
        self.readings: dict[str, Reading] = {}

    def check(self) -> None:
        pass

    def probe(self) -> None:
        pass

    def open(self, message: InFlightMessage, now: object) -> Download:
        reading = self.readings[message.body]
        return Download(message.body, 1, (message,), lambda _now: reading)


def scripted_harness(batcher: HourlyBatcher | None = None) -> tuple[Scripted, LaneHarness]:
    intake = Scripted()
    return intake, LaneHarness(batcher or SingleBatcher(), long_poll_seconds=1, intake=intake).checked()


def records(harness: LaneHarness, *numbers: int) -> Reading:
    messages = [
        InFlightMessage("sqs", "", encode_body(email(n)), {"message_id": message_id(n)}, START, 1) for n in numbers
    ]
    return Reading([harness.recorder.record(message, START) for message in messages])


def test_a_message_of_several_records_is_deleted_when_the_last_one_is_stored() -> None:
    intake, harness = scripted_harness()
    intake.readings["event"] = records(harness, 1, 2, 3)
    sent = harness.queue.send("event")
    harness.archive.failing_keys = {f"messages/2026/12/10/{message_id(2)}.json"}
    harness.lane.run_once()
    assert (harness.queue.deleted, len(harness.archive.objects)) == ([], 2)
    harness.archive.failing_keys = set()
    run_for(harness, 60)
    assert (harness.queue.deleted, len(harness.archive.objects)) == ([sent], 3)
    assert (harness.value("stored_total"), harness.value("deleted_total")) == (3, 1)


def test_records_of_one_message_in_two_batches_delete_it_after_the_second() -> None:
    batcher = HourlyBatcher("messages/", max_messages=2, max_bytes=10**6, max_seconds=30)
    intake, harness = scripted_harness(batcher)
    intake.readings["event"] = records(harness, 1, 2, 3)
    sent = harness.queue.send("event")
    harness.lane.run_once()
    assert (len(harness.archive.objects), harness.queue.deleted) == (1, [])
    run_for(harness, 40)
    assert (len(harness.archive.objects), harness.queue.deleted) == (2, [sent])


def test_the_good_records_of_a_message_with_poison_are_stored_and_it_is_dead_lettered() -> None:
    intake, harness = scripted_harness()
    good = records(harness, 1)
    intake.readings["event"] = Reading(good.records, ("other_event",), PoisonError("too_large", "the file exceeds 1"))
    sent = harness.queue.send("event")
    run_for(harness, 10)
    assert (harness.queue.dead, harness.queue.deleted, len(harness.archive.objects)) == ([sent], [], 1)
    assert harness.value("invalid_total", reason="too_large") == 1


def test_a_message_that_names_nothing_to_store_is_deleted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    intake, harness = scripted_harness()
    intake.readings["event"] = Reading(skipped=("test_event",))
    sent = harness.queue.send("event")
    harness.lane.run_once()
    assert (harness.queue.deleted, harness.value("skipped_total", reason="test_event")) == ([sent], 1)
    (line,) = [record for record in caplog.records if record.message == "skipped"]
    assert line.reasons == ["test_event"]  # type: ignore[attr-defined]


def test_an_exception_of_a_read_releases_everything_and_the_lane_goes_on() -> None:
    _, harness = scripted_harness()
    harness.queue.send("unknown to the intake")
    harness.clock.at(5, harness.stop)
    harness.lane.run()
    assert harness.value("in_flight") == 0


def test_ids_are_those_of_the_records_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    intake, harness = scripted_harness()
    intake.readings["event"] = records(harness, 1, 2)
    harness.queue.send("event")
    harness.lane.run_once()
    (line,) = [record for record in caplog.records if record.message == "stored"]
    assert line.message_ids == [message_id(1), message_id(2)]  # type: ignore[attr-defined]
    assert message_id(1) == message_id_at(START, (1).to_bytes(10, "big"))
