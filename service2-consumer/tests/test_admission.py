"""What becomes of received messages: records to store, downloads, poison, and messages that hold nothing to store."""

from datetime import datetime

import pytest

from pillarbox.tracing import NoTracer
from service2_consumer.admission import _MAX_QUICK_RELEASES, Admission
from service2_consumer.batching import SingleBatcher
from service2_consumer.in_flight import InFlightMessages
from service2_consumer.model import Download, InFlightMessage, PoisonError, Reading, Record
from service2_consumer.telemetry import Telemetry

from .fakes import START, LaneHarness, message_id

RECORDS = [Record(message_id(number), START, "ab" * 32, f"messages/{number}", b"{}", "text/plain") for number in (1, 2)]
POISON = PoisonError("not_an_email", "a part is no e-mail")
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


class ScriptedIntake:
    """Opens every message with the same result."""

    def __init__(self, opened: Reading | Download) -> None:
        self._opened = opened

    def check(self) -> None:
        """Do nothing."""

    def probe(self) -> None:
        """Do nothing."""

    def open(self, message: InFlightMessage, now: datetime) -> Reading | Download:
        """Return the result."""
        return self._opened


class Admitting:
    """An admission with one message in the queue; `opened` is what the message holds."""

    def __init__(self, opened: Reading | Download, **attributes: str) -> None:
        harness = LaneHarness()
        self.queue, self.metrics = harness.queue, harness.metrics
        self.batcher = SingleBatcher()
        self.admission = Admission(
            intake=ScriptedIntake(opened),
            batcher=self.batcher,
            in_flight=InFlightMessages(self.queue, self.metrics, 300),
            telemetry=Telemetry(self.metrics),
            tracer=NoTracer(),
            clock=harness.clock,
        )
        self.queue.send(attributes=attributes)
        (self.message,) = self.queue.receive(0)

    def admit(self) -> list[Download]:
        return self.admission.admit([self.message])

    def keys_to_store(self) -> list[str]:
        return [upload.key for upload in self.batcher.take_due(0)]


def test_records_are_given_to_the_batcher_and_the_message_is_kept_until_all_are_stored() -> None:
    admitting = Admitting(Reading(RECORDS), message_id=message_id(1), traceparent=TRACEPARENT)
    assert admitting.admit() == []
    admitting.admission.settle()
    assert admitting.keys_to_store() == ["messages/1", "messages/2"]
    message = admitting.message
    assert (message.message_id, message.trace_id, message.outstanding) == (message_id(1), TRACEPARENT[3:35], 2)
    assert (admitting.queue.deleted, admitting.queue.visible()) == ([], [])


def test_message_without_an_id_is_known_by_that_of_sqs() -> None:
    admitting = Admitting(Reading(RECORDS[:1]), message_id="no id")
    admitting.admit()
    assert admitting.message.message_id == admitting.message.sqs_message_id


def test_download_is_returned_and_its_message_is_kept() -> None:
    download = Download("payloads/1", 10, (), lambda _now: Reading())
    admitting = Admitting(download)
    assert admitting.admit() == [download]
    admitting.admission.settle()
    assert (admitting.keys_to_store(), admitting.queue.deleted, admitting.queue.visible()) == ([], [], [])


def test_poison_is_released_and_the_other_parts_of_its_message_are_stored() -> None:
    admitting = Admitting(Reading(RECORDS[:1], poison=POISON))
    admitting.admit()
    assert admitting.queue.visible() == []
    admitting.admission.settle()
    assert admitting.keys_to_store() == ["messages/1"]
    assert (admitting.queue.deleted, admitting.queue.visible()) == ([], [admitting.message.sqs_message_id])


def test_message_with_nothing_to_store_is_deleted() -> None:
    admitting = Admitting(Reading(skipped=("test_event",)))
    admitting.admit()
    admitting.admission.settle()
    assert admitting.queue.deleted == [admitting.message.sqs_message_id]


@pytest.mark.parametrize(("receives", "shown"), [(_MAX_QUICK_RELEASES, True), (_MAX_QUICK_RELEASES + 1, False)])
def test_poison_that_returns_again_and_again_is_left_to_its_timeout(receives: int, shown: bool) -> None:
    admitting = Admitting(Reading(poison=POISON))
    admitting.message.receive_count = receives
    admitting.admit()
    admitting.admission.settle()
    assert bool(admitting.queue.visible()) is shown


def test_each_message_is_settled_once() -> None:
    admitting = Admitting(Reading(poison=POISON))
    released: list[None] = []
    admitting.queue.when_released = lambda: released.append(None)
    admitting.admit()
    for _ in range(2):
        admitting.admission.settle()
    assert len(released) == 1
