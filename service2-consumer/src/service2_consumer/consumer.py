"""The lane: receive, store, acknowledge last. Nothing is deleted from SQS that S3 does not hold."""

import logging
import math
from datetime import datetime

from service2_consumer.backoff import Backoff, Clock
from service2_consumer.delivery import Delivery
from service2_consumer.holding import Holding
from service2_consumer.journal import Journal
from service2_consumer.layouts import Layout, NewObject
from service2_consumer.metrics import Metrics
from service2_consumer.pace import Pace, Stopping
from service2_consumer.pool import Pool
from service2_consumer.ports import Archive, OverwritesError, Queue, QueueError, Result, StoreError
from service2_consumer.record import Message, PoisonError, Recorder, message_id_of
from service2_consumer.trouble import Trouble

logger = logging.getLogger(__name__)

# A queue without a redrive policy hands poison out again at once, for ever: past this the visibility timeout slows it.
_QUICK_RELEASES = 100


class Lane:
    """One thread's work: a cycle receives some messages, stores them concurrently and deletes what is stored.

    It keeps its messages while the store fails, so that an outage spends one receive of each.
    """

    def __init__(
        self,
        *,
        queue: Queue,
        archive: Archive,
        pool: Pool[NewObject, Result],
        recorder: Recorder,
        layout: Layout,
        holding: Holding,
        metrics: Metrics,
        pace: Pace,
        stopping: Stopping,
        clock: Clock,
    ) -> None:
        self._queue = queue
        self._archive = archive
        self._recorder = recorder
        self._layout = layout
        self._holding = holding
        self._metrics = metrics
        self._pace = pace
        self._stopping = stopping
        self._clock = clock
        self._queue_backoff = Backoff(0.2, pace.longest_backoff_seconds)
        self._queue_trouble = Trouble(logger, "SQS", "this lane tries again with growing pauses")
        self._journal = Journal(metrics)
        self._delivery = Delivery(
            archive=archive,
            pool=pool,
            holding=holding,
            journal=self._journal,
            pace=pace,
            stopping=stopping,
            clock=clock,
            beat=self._beat,
        )
        holding.beat = self._beat
        self._broken = False
        self.checked = False
        self.receiving = False
        self.refusal = ""
        self.last_beat_seconds = clock.monotonic()
        self.last_poll_at: datetime | None = None

    @property
    def well(self) -> bool:
        """Tell whether queue and bucket have proven to work, and neither has failed lately."""
        return self.checked and not self._queue_trouble.lasts and not self._journal.store_fails

    def release_held(self) -> int:
        """Release what is neither acknowledged nor released yet, and tell how many messages that were."""
        return self._holding.release_all()

    def run(self) -> None:
        """Work until stopping is requested, then finish what has started and release the rest.

        An archive that does not write once ends it too: then `refusal` says why.
        """
        while not self._stopping.requested.is_set():
            try:
                self._recover()
                self.run_once()
            except OverwritesError as exc:
                self.refusal = str(exc)
                self._stopping.requested.set()
            except Exception:
                logger.exception("a lane failed; it releases what it holds and goes on")
                self._broken = True
                self._wait(self._queue_backoff.next_seconds())
        self.drain()

    def run_once(self) -> None:
        """Go through one cycle: check at first, then receive, store and acknowledge."""
        self._beat()
        if not self.checked:
            self._check()
            return
        if not self._delivery.retry():
            self._let_go()
            return
        if self._stopping.requested.is_set():
            return  # the retry took a while, and a receive now would be spent for nothing
        messages = self._receive() if self._delivery.has_room() else self._wait_for_room()
        found = bool(messages)
        if self._stopping.requested.is_set():
            now = self._clock.monotonic()
            self._holding.release([self._holding.add(m, m.sqs_message_id, now) for m in messages])
            return
        self._admit(messages)
        if not self._delivery.deliver(self._layout.take_due(self._clock.monotonic())):
            self._let_go()
        elif not found and self._pace.poll_interval_seconds:
            self._wait(self._pace.poll_interval_seconds)

    def drain(self) -> None:
        """Store what is still open, in one attempt, and release what could not be stored or was set aside."""
        open_parcels = self._layout.take_due(self._clock.monotonic(), everything=True)
        if not self._journal.store_fails and not self._stopping.gave_up.is_set():
            self._delivery.deliver(open_parcels)
        released = self._release_everything()
        if released:
            logger.info("released what was not stored", extra={"messages": released})

    def _check(self) -> None:
        """Prove that the queue can be read and the bucket written: no message is received before that."""
        try:
            self._queue.depth()
            self._queue_trouble.ended()
            self._beat()
            self._archive.check()
        except QueueError as exc:
            self._pause_for_queue(exc)
        except StoreError as exc:
            self._journal.failed([exc])
            self._journal.store_failed([exc])
            self._wait(self._queue_backoff.next_seconds())
        else:
            self._journal.store_works()
            self._queue_backoff.reset()
            self.checked = True

    def _receive(self) -> list[Message]:
        due = self._seconds_until_due()
        wait = self._pace.long_poll_seconds if due is None else min(self._pace.long_poll_seconds, math.ceil(due))
        self.receiving = True
        try:
            with self._metrics.receive_seconds.time():
                messages = self._queue.receive(wait)
        except QueueError as exc:
            self._metrics.polls.labels("error").inc()
            self._pause_for_queue(exc)
            return []
        finally:
            self.receiving = False
        self._queue_trouble.ended()
        self._queue_backoff.reset()
        self._beat()
        self.last_poll_at = self._clock.now()
        self._metrics.polls.labels("messages" if messages else "empty").inc()
        self._metrics.received.inc(len(messages))
        return messages

    def _seconds_until_due(self) -> float | None:
        """Tell when the lane has something to do besides receiving; None: never."""
        now = self._clock.monotonic()
        dues = (self._layout.seconds_until_due(now), self._delivery.seconds_until_due(now))
        return min((due for due in dues if due is not None), default=None)

    def _pause_for_queue(self, exc: QueueError) -> None:
        self._queue_trouble.failed(exc.cause)
        self._wait(self._queue_backoff.next_seconds())

    def _wait_for_room(self) -> list[Message]:
        """Receive nothing; wait until something that was set aside can be tried again."""
        self._wait(self._pace.longest_backoff_seconds)
        return []

    def _wait(self, seconds: float) -> None:
        """Wait, but not past the moment at which something is due, and not past a stop."""
        self._beat()
        due = self._seconds_until_due()
        self._clock.wait(self._stopping.requested, seconds if due is None else min(seconds, due))

    def _admit(self, messages: list[Message]) -> None:
        """Sort messages into records and poison; poison is released first, for storing may take an outage."""
        now, moment = self._clock.monotonic(), self._clock.now()
        poison = []
        messages.reverse()
        while messages:
            message = messages.pop()  # so that a large body lives only once, as its record
            try:
                record = self._recorder.record(message, moment)
            except PoisonError as exc:
                message_id = message_id_of(message)
                self._journal.poison(message.receive_count, message_id, exc.reason, str(exc))
                if message.receive_count <= _QUICK_RELEASES:
                    poison.append(self._holding.add(message, message_id, now))
                continue
            self._layout.add(self._holding.add(message, record.message_id, now), record, now)
        self._holding.release(poison)

    def _let_go(self) -> None:
        """Give everything back, and receive again only once the store is proven to work."""
        released = self._release_everything()
        self.checked = False
        logger.error("messages were held as long as SQS allows; they return to the queue", extra={"messages": released})

    def _recover(self) -> None:
        """Give everything back after a failure that nobody foresaw."""
        if self._broken:
            self._release_everything()
            self._broken = False

    def _release_everything(self) -> int:
        self._layout.take_due(self._clock.monotonic(), everything=True)
        self._delivery.clear()
        return self._holding.release_all()

    def _beat(self) -> None:
        """Show that the thread turns: each call that it makes ends in time, well or badly."""
        self.last_beat_seconds = self._clock.monotonic()
