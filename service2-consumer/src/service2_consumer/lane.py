"""The lane: receive, read, store, delete last. A message is deleted from SQS only after S3 has it."""

import logging
import math
from datetime import datetime

from pillarbox.backoff import Backoff
from pillarbox.tracing import Tracer
from service2_consumer.admission import Admission
from service2_consumer.batching import Batcher
from service2_consumer.clock import Clock, PollTiming, StopEvents
from service2_consumer.in_flight import InFlightMessages
from service2_consumer.metrics import Metrics
from service2_consumer.model import Download, InFlightMessage
from service2_consumer.outage_log import OutageLog
from service2_consumer.ports import Archive, Intake, OverwritesError, Queue, QueueError, StoreError
from service2_consumer.read_budget import ReadBudget
from service2_consumer.telemetry import Telemetry
from service2_consumer.transfer_threads import TransferThreads
from service2_consumer.transfers import Transfers

logger = logging.getLogger(__name__)


class Lane:
    """The work of one thread: a cycle receives some messages, stores them concurrently and deletes those stored.

    A lane keeps its messages while the store fails, so that an outage uses one receive of each.
    """

    _broken = False
    checked = False
    receiving = False
    refusal = ""
    last_poll_at: datetime | None = None

    def __init__(
        self,
        *,
        queue: Queue,
        archive: Archive,
        threads: TransferThreads,
        budget: ReadBudget,
        intake: Intake,
        batcher: Batcher,
        in_flight: InFlightMessages,
        metrics: Metrics,
        tracer: Tracer,
        timing: PollTiming,
        stop_events: StopEvents,
        clock: Clock,
    ) -> None:
        self._queue = queue
        self._batcher = batcher
        self._in_flight = in_flight
        self._metrics = metrics
        self._tracer = tracer
        self._timing = timing
        self._stop_events = stop_events
        self._clock = clock
        self._queue_backoff = Backoff(0.2, timing.longest_backoff_seconds)
        self._queue_outage = OutageLog(logger, "SQS", "this lane retries with growing pauses")
        telemetry = self._telemetry = Telemetry(metrics)
        self._admission = Admission(
            intake=intake, batcher=batcher, in_flight=in_flight, telemetry=telemetry, tracer=tracer, clock=clock
        )
        self._transfers = Transfers(
            archive=archive,
            intake=intake,
            threads=threads,
            budget=budget,
            in_flight=in_flight,
            telemetry=telemetry,
            timing=timing,
            stop_events=stop_events,
            clock=clock,
            beat=self._beat,
            on_read=self._admission.accept,
        )
        in_flight.beat = self._beat
        self.last_beat_seconds = clock.monotonic()

    @property
    def well(self) -> bool:
        """Return whether the check of queue and bucket succeeded and neither fails now."""
        return self.checked and not self._queue_outage.active and not self._telemetry.store_fails

    def release_all(self) -> int:
        """Release all messages in flight and return their number."""
        return self._in_flight.release_all()

    def run(self) -> None:
        """Run cycles until a stop is requested, then finish the work that has started and release the rest.

        An archive that overwrites objects also ends the lane; `refusal` then has the reason.
        """
        while not self._stop_events.requested.is_set():
            try:
                if self._broken:  # by an unexpected exception in the cycle before
                    self._release_everything()
                    self._broken = False
                self.run_once()
            except OverwritesError as exc:
                self.refusal = str(exc)
                self._stop_events.requested.set()
            except Exception:
                logger.exception("a lane failed; it releases its messages and continues")
                self._broken = True
                self._wait(self._queue_backoff.next_seconds())
        self.drain()

    def run_once(self) -> None:
        """Run one cycle: the check at first, then receive, store and delete."""
        self._beat()
        if not self.checked:
            self._check()
            return
        if not (self._transfers.retry_due() and self._store_due()):
            self._release_and_recheck()
            return
        if self._stop_events.requested.is_set():
            return  # during the retry: a receive now would be used for nothing
        messages = self._receive() if self._transfers.has_room() else self._wait_for_room()
        found = bool(messages)
        if self._stop_events.requested.is_set():
            for message in messages:
                self._in_flight.add(message, message.sqs_message_id, self._clock.monotonic())
            self._in_flight.release(messages)
            return
        downloads = self._admission.admit(messages)
        if not (self._store_due() and self._read_and_store(downloads)):
            self._release_and_recheck()
        elif not found and self._timing.poll_interval_seconds:
            self._wait(self._timing.poll_interval_seconds)

    def drain(self) -> None:
        """Store the open batches in one attempt, and release the messages that were not stored or were set aside."""
        open_uploads = self._batcher.take_due(self._clock.monotonic(), everything=True)
        if not self._telemetry.store_fails and not self._stop_events.abandoned.is_set():
            self._transfers.run(open_uploads)
        released = self._release_everything()
        if released:
            logger.info("released what was not stored", extra={"messages": released})

    def _check(self) -> None:
        """Verify that the queue can be read and the bucket written. No message is received before that."""
        try:
            self._queue.depth()
            self._queue_outage.recovered()
            self._beat()
            self._transfers.check()
        except QueueError as exc:
            self._metrics.polls.labels("error").inc()
            self._pause_for_queue(exc)
        except StoreError as exc:
            self._telemetry.attempts_failed([exc])
            self._telemetry.store_failed([exc])
            self._wait(self._queue_backoff.next_seconds())
        else:
            self._telemetry.store_works()
            self._queue_backoff.reset()
            self.checked = True

    def _receive(self) -> list[InFlightMessage]:
        due = self._seconds_until_due()
        wait = self._timing.long_poll_seconds
        wait = wait if due is None else min(wait, math.ceil(due))
        begun = self._clock.monotonic()
        self.receiving = True
        try:
            with self._metrics.receive_seconds.time():
                messages = self._queue.receive(wait)
        except QueueError as exc:
            self._metrics.polls.labels("error").inc()
            self._tracer.received((), self._clock.monotonic() - begun, exc.cause)
            self._pause_for_queue(exc)
            return []
        finally:
            self.receiving = False
        self._tracer.received(messages, self._clock.monotonic() - begun)
        self._queue_outage.recovered()
        self._queue_backoff.reset()
        self._beat()
        self.last_poll_at = self._clock.now()
        self._metrics.polls.labels("messages" if messages else "empty").inc()
        self._metrics.received.inc(len(messages))
        return messages

    def _seconds_until_due(self) -> float | None:
        """Return the time until the lane has work other than receiving; None if it has none."""
        now = self._clock.monotonic()
        dues = (self._batcher.seconds_until_due(now), self._transfers.seconds_until_due(now))
        return min((due for due in dues if due is not None), default=None)

    def _pause_for_queue(self, exc: QueueError) -> None:
        self._queue_outage.failed(exc.cause)
        self._wait(self._queue_backoff.next_seconds())

    def _wait_for_room(self) -> list[InFlightMessage]:
        """Receive nothing; wait until an object set aside can be retried."""
        self._wait(self._timing.longest_backoff_seconds)
        return []

    def _wait(self, seconds: float) -> None:
        """Wait until the time is over, work is due or a stop is requested."""
        self._beat()
        due = self._seconds_until_due()
        self._clock.wait(self._stop_events.requested, seconds if due is None else min(seconds, due))

    def _store_due(self) -> bool:
        """Store what is due. Poison is released before that: an outage of the store can last long."""
        self._admission.settle()
        stored = self._transfers.run(self._batcher.take_due(self._clock.monotonic()))
        self._transfers.give_back()
        return stored

    def _read_and_store(self, downloads: list[Download]) -> bool:
        """Read the e-mails that lie in S3, as many at once as the budget allows, and store what is due then."""
        while downloads and not self._stop_events.requested.is_set():
            begun = self._transfers.take_fitting(downloads)
            if not begun and not self._stop_events.requested.is_set():
                return False
            downloads = downloads[len(begun) :]
            if not (self._transfers.run(begun) and self._store_due()):
                return False
        return True

    def _release_and_recheck(self) -> None:
        """Release everything, and receive again only after a successful check."""
        released = self._release_everything()
        self.checked = False
        extra = {"messages": released}
        logger.error("messages were held as long as SQS allows; they return to the queue", extra=extra)

    def _release_everything(self) -> int:
        self._batcher.take_due(self._clock.monotonic(), everything=True)
        self._transfers.clear()
        return self._in_flight.release_all()

    def _beat(self) -> None:
        """Record that the thread makes progress: each of its calls ends in time, with or without an error."""
        self.last_beat_seconds = self._clock.monotonic()
