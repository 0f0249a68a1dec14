"""The lane: receive, store, acknowledge last. Nothing is deleted from SQS that S3 does not hold."""

import logging
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from service2_consumer.backoff import Backoff, Clock
from service2_consumer.holding import Holding
from service2_consumer.journal import Journal
from service2_consumer.layouts import Held, Layout, NewObject, Parcel
from service2_consumer.metrics import Metrics
from service2_consumer.pool import Pool
from service2_consumer.ports import Archive, Outcome, Queue, QueueError, RefusedObjectError, StoreError
from service2_consumer.record import Message, PoisonError, Recorder, message_id_of
from service2_consumer.trouble import Trouble

logger = logging.getLogger(__name__)

Result = Outcome | StoreError | RefusedObjectError

# A queue without a redrive policy hands poison out again at once, for ever: past this the visibility timeout slows it.
_QUICK_RELEASES = 100


@dataclass(frozen=True, slots=True)
class Stopping:
    """The two steps of stopping, shared by all lanes: take no more, then give up what is not done."""

    requested: threading.Event = field(default_factory=threading.Event)
    gave_up: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a lane waits, in seconds: for messages, after an empty poll, and at most between two tries."""

    long_poll_seconds: int
    poll_interval_seconds: int
    longest_backoff_seconds: float = 30


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
        self._pool = pool
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
        self.checked = False
        self.receiving = False
        self.last_beat_seconds = clock.monotonic()
        self.last_poll_at: datetime | None = None

    def release_held(self) -> int:
        """Release what is neither acknowledged nor released yet, and tell how many messages that were."""
        return self._holding.release_all()

    def run(self) -> None:
        """Work until stopping is requested, then finish what has started and release the rest."""
        while not self._stopping.requested.is_set():
            try:
                self.run_once()
            except Exception:
                logger.exception("a lane failed; it releases what it holds and goes on")
                self._start_over()
                self._clock.wait(self._stopping.requested, self._queue_backoff.next_seconds())
        self.drain()

    def _start_over(self) -> None:
        """Release what is held; a release that fails must not end the thread, and leaves it to the timeout."""
        try:
            self._layout.take_due(self._clock.monotonic(), everything=True)
            self._holding.release_all()
        except Exception:
            logger.exception("not released; it shows again after the visibility timeout")

    def run_once(self) -> None:
        """Go through one cycle: check at first, then receive, store and acknowledge."""
        if not self.checked:
            self._check()
            return
        messages = self._receive()
        found = bool(messages)
        if self._stopping.requested.is_set():
            now = self._clock.monotonic()
            self._holding.release([self._holding.add(m, m.sqs_message_id, now) for m in messages])
            return
        self._admit(messages)
        self._deliver(self._layout.take_due(self._clock.monotonic()))
        if not found and self._pace.poll_interval_seconds:
            self._clock.wait(self._stopping.requested, self._pace.poll_interval_seconds)

    def drain(self) -> None:
        """Store what is still open, in one attempt, and release what could not be stored."""
        open_parcels = self._layout.take_due(self._clock.monotonic(), everything=True)
        if not self._journal.store_fails and not self._stopping.gave_up.is_set():
            self._deliver(open_parcels)
        released = self.release_held()
        if released:
            logger.info("released what was not stored", extra={"messages": released})

    def _check(self) -> None:
        """Prove that the queue can be read and the bucket written: no message is received before that."""
        try:
            self._queue.depth()
            self._queue_trouble.ended()
            self._beat()
            self._archive.probe()
        except QueueError as exc:
            self._pause_for_queue(exc)
        except StoreError as exc:
            self._journal.store_failed([exc])
            self._clock.wait(self._stopping.requested, self._queue_backoff.next_seconds())
        else:
            self._journal.store_works()
            self._queue_backoff.reset()
            self.checked = True

    def _receive(self) -> list[Message]:
        due = self._layout.seconds_until_due(self._clock.monotonic())
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

    def _pause_for_queue(self, exc: QueueError) -> None:
        """Wait without a beat: a lane that cannot receive for long turns liveness red, and is started anew."""
        self._queue_trouble.failed(exc.cause)
        due = self._layout.seconds_until_due(self._clock.monotonic())
        delay = self._queue_backoff.next_seconds()
        self._clock.wait(self._stopping.requested, delay if due is None else min(delay, due))

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

    def _deliver(self, parcels: list[Parcel]) -> None:
        """Store parcels, however long that takes; leave some only when stopping, or when their time is over."""
        backoff = Backoff(0.1, self._pace.longest_backoff_seconds)
        while parcels:
            parcels = self._settle(parcels, self._pool.map([p.item for p in parcels], self._stopping.gave_up))
            self._beat()
            if not parcels or self._stopping.requested.is_set():
                return
            now = self._clock.monotonic()
            if self._holding.extend(now):
                self._let_go()
                return
            pause = min(backoff.next_seconds(), max(1.0, self._holding.seconds_until_extension(now)))
            self._clock.wait(self._stopping.requested, pause)

    def _let_go(self) -> None:
        """Give everything back, and receive again only once the store is proven to work."""
        self._layout.take_due(self._clock.monotonic(), everything=True)
        released = self._holding.release_all()
        self.checked = False
        logger.error("messages were held as long as SQS allows; they return to the queue", extra={"messages": released})

    def _settle(self, parcels: Sequence[Parcel], results: Sequence[Result | None]) -> list[Parcel]:
        """Acknowledge what is stored, release what never can be, and give back what must be tried again."""
        refused, again = [], []
        stored: dict[Outcome, list[Held]] = {outcome: [] for outcome in Outcome}
        for parcel, result in zip(parcels, results, strict=True):
            if isinstance(result, Outcome):
                stored[result] += parcel.messages
                self._journal.stored_object(parcel, result)
            elif isinstance(result, RefusedObjectError):
                refused += parcel.messages
                for held in parcel.messages:
                    self._journal.poison(held.receive_count, held.message_id, "refused_by_store", str(result))
            else:
                again.append(parcel)
        self._journal.stored(stored, self._clock.now())
        self._holding.acknowledge([held for messages in stored.values() for held in messages])
        self._holding.release(refused)
        failures = [result for result in results if isinstance(result, StoreError)]
        if failures:
            self._journal.store_failed(failures)
        if not again:
            self._journal.store_works()
        return again

    def _beat(self) -> None:
        self.last_beat_seconds = self._clock.monotonic()
