"""Messages that a lane holds: hidden, deleted, released."""

import pytest
from prometheus_client import CollectorRegistry

from pillarbox.tracing import Untraced
from service2_consumer.in_flight import MAX_HIDDEN_SECONDS, InFlightMessages
from service2_consumer.metrics import Metrics
from service2_consumer.model import InFlightMessage

from .fakes import FakeClock, FakeQueue

VISIBILITY_SECONDS = 300


class Holder:
    """Messages received from a fake queue and held."""

    def __init__(self, count: int) -> None:
        self.clock = FakeClock()
        self.queue = FakeQueue(self.clock, visibility_seconds=VISIBILITY_SECONDS)
        self.metrics = Metrics(CollectorRegistry())
        self.in_flight = InFlightMessages(self.queue, self.metrics, VISIBILITY_SECONDS)
        self.messages: list[InFlightMessage] = []
        for number in range(count):
            self.queue.send(number=number)
        while len(self.messages) < count:
            for message in self.queue.receive(0):
                self.in_flight.add(message, f"id of {message.sqs_message_id}", self.clock.monotonic())
                self.messages.append(message)

    def value(self, name: str) -> float:
        return self.metrics.registry.get_sample_value(f"pillarbox_consumer_{name}") or 0


def test_held_message_has_no_body() -> None:
    (message,) = Holder(1).messages
    assert (message.body, message.attributes, message.message_id) == ("", {}, "id of sqs-1")


def test_acknowledge_deletes_ten_messages_per_call_and_forgets_them() -> None:
    holder = Holder(25)
    holder.in_flight.acknowledge(holder.messages)
    assert (len(holder.queue.deleted), holder.queue.delete_calls) == (25, 3)
    assert (holder.value("deleted_total"), holder.value("in_flight")) == (25, 0)
    assert holder.in_flight.release_all() == 0


def test_a_message_with_several_records_is_deleted_once_all_are_stored() -> None:
    holder = Holder(2)
    several, single = holder.messages
    several.outstanding = 3
    holder.in_flight.acknowledge([several, single])
    assert holder.queue.deleted == ["sqs-2"]
    holder.in_flight.acknowledge([several, several])
    assert holder.queue.deleted == ["sqs-2", "sqs-1"]


def test_a_message_that_was_released_is_not_deleted_and_not_released_again() -> None:
    holder = Holder(1)
    (message,) = holder.messages
    holder.in_flight.release([message, message])
    holder.in_flight.acknowledge([message])
    holder.in_flight.release([message])
    assert (holder.queue.deleted, holder.value("released_total")) == ([], 1)


def test_a_message_that_is_left_stays_hidden_until_its_timeout() -> None:
    holder = Holder(1)
    holder.in_flight.leave(holder.messages)
    assert (holder.queue.visible(), holder.value("in_flight"), holder.in_flight.release_all()) == ([], 0, 0)


def test_a_delete_that_fails_is_counted_and_logged_with_the_ids(caplog: pytest.LogCaptureFixture) -> None:
    holder = Holder(1)
    holder.queue.failing_deletes = True
    holder.in_flight.acknowledge(holder.messages)
    assert (holder.value("deleted_total"), holder.value("delete_failures_total"), holder.value("in_flight")) == (
        0,
        1,
        0,
    )
    (line,) = caplog.records
    assert line.message == "delete failed; redelivery will be detected as a duplicate"
    assert line.message_ids == ["id of sqs-1"]  # type: ignore[attr-defined]


def test_release_half_releases_every_other_message() -> None:
    holder = Holder(5)
    holder.in_flight.release_half(holder.messages)
    assert holder.queue.visible() == ["sqs-1", "sqs-3", "sqs-5"]
    assert (holder.value("released_total"), holder.value("in_flight")) == (3, 0)


def test_message_is_extended_at_half_of_its_timeout() -> None:
    holder = Holder(1)
    assert holder.in_flight.seconds_until_extension(0) == VISIBILITY_SECONDS / 2
    assert holder.in_flight.extend(VISIBILITY_SECONDS / 2 - 1)
    assert holder.queue.extensions == []
    holder.clock.advance(VISIBILITY_SECONDS / 2)
    assert holder.in_flight.extend(holder.clock.monotonic())
    assert holder.queue.extensions == [(VISIBILITY_SECONDS / 2, VISIBILITY_SECONDS)]
    assert holder.in_flight.seconds_until_extension(holder.clock.monotonic()) == VISIBILITY_SECONDS / 2


def test_failed_extension_is_repeated_after_an_eighth_of_the_timeout() -> None:
    holder = Holder(1)
    holder.queue.failing_extensions = True
    assert holder.in_flight.extend(VISIBILITY_SECONDS / 2)
    assert holder.in_flight.seconds_until_extension(VISIBILITY_SECONDS / 2) == VISIBILITY_SECONDS / 8


def test_extension_does_not_exceed_the_twelve_hours_of_sqs() -> None:
    holder = Holder(1)
    holder.clock.advance(MAX_HIDDEN_SECONDS - 200)
    assert holder.in_flight.extend(holder.clock.monotonic())
    assert holder.queue.extensions[-1][1] == 200
    assert not holder.in_flight.extend(MAX_HIDDEN_SECONDS - 100)


def test_every_call_records_progress() -> None:
    holder, beats = Holder(25), []
    holder.in_flight.beat = lambda: beats.append(1)
    holder.in_flight.release(holder.messages)
    assert len(beats) == 3
    assert holder.in_flight.seconds_until_extension(0) == float("inf")


class FailingSpan(Untraced):
    """Breaks the promise to raise nothing."""

    def end(self, *, status: int | None = None) -> None:
        raise RuntimeError("end")


def test_messages_whose_spans_cannot_end_are_forgotten_all_the_same() -> None:
    holder = Holder(3)
    for message in holder.messages:
        message.span = FailingSpan()
    with pytest.raises(RuntimeError, match="end"):
        holder.in_flight.acknowledge(holder.messages)
    assert (len(holder.queue.deleted), holder.value("in_flight"), holder.in_flight.release_all()) == (3, 0, 0)
