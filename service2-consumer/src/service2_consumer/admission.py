"""Admits received messages: gives their records to the batcher, and ends the messages that leave nothing to store."""

from collections.abc import Sequence

from pillarbox import trace
from pillarbox.tracing import Tracer
from service2_consumer.batching import Batcher
from service2_consumer.clock import Clock
from service2_consumer.in_flight import InFlightMessages
from service2_consumer.model import Download, InFlightMessage, Reading
from service2_consumer.ports import Intake
from service2_consumer.record import message_id_of, trace_id_of
from service2_consumer.telemetry import Telemetry

# A queue without a redrive policy delivers released poison again at once. After this many receives poison is left to
# its visibility timeout.
_MAX_QUICK_RELEASES = 100


class Admission:
    """The admission of one lane."""

    def __init__(
        self,
        *,
        intake: Intake,
        batcher: Batcher,
        in_flight: InFlightMessages,
        telemetry: Telemetry,
        tracer: Tracer,
        clock: Clock,
    ) -> None:
        self._intake = intake
        self._batcher = batcher
        self._in_flight = in_flight
        self._telemetry = telemetry
        self._tracer = tracer
        self._clock = clock
        self._poison: list[InFlightMessage] = []
        self._nothing_to_store: list[InFlightMessage] = []

    def admit(self, messages: Sequence[InFlightMessage]) -> list[Download]:
        """Accept the messages that can be read without S3; return the downloads of the others."""
        now_seconds, now = self._clock.monotonic(), self._clock.now()
        downloads = []
        for message in messages:
            message_id = message_id_of(message)
            message.span = self._tracer.process(message, message_id)
            message.trace_id = trace_id_of(message) or trace.trace_id(message.span.traceparent)
            opened = self._intake.open(message, now)
            self._in_flight.add(message, message_id, now_seconds)
            if isinstance(opened, Download):
                downloads.append(opened)
            else:
                self.accept(message, opened)
        return downloads

    def accept(self, message: InFlightMessage, reading: Reading) -> None:
        """Add the records of a message to the batcher; `settle` ends a message without records.

        If a part of a message is poison, its other parts are stored, and the message goes to the dead-letter queue.
        """
        self._telemetry.skipped(message, reading.skipped)
        message.outstanding = len(reading.records)
        if reading.poison:
            self._telemetry.poison(message, message.message_id, reading.poison.reason, str(reading.poison))
            self._poison.append(message)
        elif not reading.records:
            self._nothing_to_store.append(message)
        for record in reading.records:
            self._batcher.add(message, record, self._clock.monotonic())

    def settle(self) -> None:
        """Release poison, and delete the messages that hold nothing to store."""
        if not (self._poison or self._nothing_to_store):
            return
        self._in_flight.release([message for message in self._poison if message.receive_count <= _MAX_QUICK_RELEASES])
        self._in_flight.leave([message for message in self._poison if message.receive_count > _MAX_QUICK_RELEASES])
        self._in_flight.acknowledge(self._nothing_to_store)
        self._poison, self._nothing_to_store = [], []
