"""Group commit: concurrent requests share calls to the queue, and each gets its own e-mail's result."""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pillarbox.message import MAX_BATCH_ENTRIES, MAX_MESSAGE_BYTES
from service1_api.metrics import Metrics

# How many e-mails must wait before one more call flies beside 0, 1, 2 and 3 others. An idle service sends at once;
# a busy one lets batches fill, since every call that ends takes along what waits.
FLY_WITH = (1, 3, 8, 10)

PATIENCE_SECONDS = 0.1  # who has waited this long may send at once: a call that hangs must not hold up the next ones


@dataclass(frozen=True, slots=True)
class Message:
    """One message as SQS takes it; `size_bytes` counts body and attributes as SQS does."""

    body: str
    attributes: Mapping[str, str]
    size_bytes: int


class PublishError(Exception):
    """A message that the queue has not confirmed; `cause` is a short stable word for metrics and logs."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class QueueUnavailableError(PublishError):
    """The queue was not reached or failed: the message may be in it, and the same message may be sent again."""


class MessageRefusedError(PublishError):
    """The queue refuses the message itself, or the call because of one of its messages: sending again is no use."""


class OverloadedError(PublishError):
    """Too many messages wait already."""


class Queue(Protocol):
    """The queue's side: one call that carries up to ten messages."""

    def send(self, messages: Sequence[Message], deadline: float) -> Sequence[PublishError | None]:
        """Give each message's own result; None means confirmed. Ends by `deadline` (monotonic seconds).

        Raises QueueUnavailableError, or MessageRefusedError where the call as a whole was refused.
        """
        ...


class _Request:
    """One caller and its messages; it is woken when all have their results, or when it may lead a call."""

    __slots__ = ("_asleep", "deadline", "impatient", "left", "results", "sending")

    def __init__(self, count: int, deadline: float) -> None:
        self._asleep = threading.Lock()  # a bare lock that the waker releases: an Event costs four times as much
        self._asleep.acquire()
        self.deadline = deadline
        self.left = count
        self.results: list[PublishError | None] = [QueueUnavailableError("deadline")] * count
        self.sending = False
        self.impatient = False

    def sleep(self, seconds: float) -> bool:
        """Wait to be woken; false after that many seconds. It may wake for nothing: look again at what has changed."""
        return self._asleep.acquire(timeout=seconds)

    def wake(self) -> None:
        """Wake the caller, or let its next sleep end at once; the publisher's lock is held, so wakers take turns."""
        if self._asleep.locked():
            self._asleep.release()


@dataclass(slots=True)
class _Entry:
    request: _Request
    place: int
    message: Message
    alone: bool = False


class Publisher:
    """Sends messages in shared calls on the callers' own threads; it confirms nothing early.

    At most four calls fly. A caller that waits leads a call when one may fly; when a call ends, its leader wakes the
    first that waits. Nobody leads a call that might end past its own deadline.
    """

    def __init__(
        self,
        queue: Queue,
        metrics: Metrics,
        *,
        deadline_seconds: float,
        attempt_seconds: float,
        max_waiting: int,
        patience_seconds: float = PATIENCE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue = queue
        self._metrics = metrics
        self._deadline_seconds = deadline_seconds
        self._attempt_seconds = attempt_seconds
        self._max_waiting = max_waiting
        self._patience_seconds = patience_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: deque[_Entry] = deque()
        self._in_flight = 0

    def publish(self, messages: Sequence[Message]) -> list[PublishError | None]:
        """Give each message's result, None for confirmed, within the deadline. Raises OverloadedError at once."""
        request = _Request(len(messages), self._clock() + self._deadline_seconds)
        batch = self._enter(request, messages)
        try:
            while batch or request.left:
                if batch:
                    self._lead(batch, request)
                elif not request.sleep(max(min(request.deadline - self._clock(), self._patience_seconds), 0)):
                    if self._clock() >= request.deadline:
                        break
                    request.impatient = True
                batch = self._next(request)
        finally:
            results = self._leave(request)
        return results

    def _enter(self, request: _Request, messages: Sequence[Message]) -> list[_Entry]:
        with self._lock:
            if len(self._waiting) + len(messages) > self._max_waiting:
                raise OverloadedError("too_many_waiting")
            self._waiting.extend(_Entry(request, place, message) for place, message in enumerate(messages))
            return self._take(request)

    def _next(self, request: _Request) -> list[_Entry]:
        with self._lock:
            return self._take(request) if request.left else []

    def _leave(self, request: _Request) -> list[PublishError | None]:
        """Take what has no result out of the queue; a message in flight may still be confirmed, unseen."""
        with self._lock:
            if request.left:
                request.left = 0
                self._waiting = deque(entry for entry in self._waiting if entry.request is not request)
            self._wake_next()
            return list(request.results)

    def _take(self, request: _Request) -> list[_Entry]:
        """Take the next batch if a call may fly now; the lock is held."""
        waiting = self._waiting
        may_fly = self._may_fly() or (request.impatient and waiting and self._in_flight < len(FLY_WITH))
        if not may_fly or not self._has_time(request):
            return []
        batch = [waiting.popleft()]
        size = batch[0].message.size_bytes
        while waiting and len(batch) < MAX_BATCH_ENTRIES and not batch[0].alone and not waiting[0].alone:
            size += waiting[0].message.size_bytes
            if size > MAX_MESSAGE_BYTES:
                break
            batch.append(waiting.popleft())
        self._in_flight += 1
        request.sending = True
        self._metrics.publish_in_flight.set(self._in_flight)
        self._metrics.publish_waiting.set(len(waiting))
        return batch

    def _may_fly(self) -> bool:
        return self._in_flight < len(FLY_WITH) and len(self._waiting) >= FLY_WITH[self._in_flight]

    def _has_time(self, request: _Request) -> bool:
        return self._clock() + self._attempt_seconds <= request.deadline

    def _lead(self, batch: list[_Entry], request: _Request) -> None:
        results: Sequence[PublishError | None] = [QueueUnavailableError("internal_error")] * len(batch)
        started = self._clock()
        try:
            results = self._queue.send([entry.message for entry in batch], request.deadline)
        except PublishError as exc:
            results = [exc] * len(batch)
        finally:  # a bug in the adapter must not leave the others waiting
            self._metrics.publish_seconds.observe(self._clock() - started)
            self._metrics.publish_batch_size.observe(len(batch))
            with self._lock:
                self._in_flight -= 1
                self._metrics.publish_in_flight.set(self._in_flight)
                request.sending = False
                self._settle(batch, results)
                self._wake_next()

    def _settle(self, batch: list[_Entry], results: Sequence[PublishError | None]) -> None:
        """Hand out the results; where one message spoilt the call for the others, each travels again, alone."""
        refused_whole = len(batch) > 1 and all(isinstance(result, MessageRefusedError) for result in results)
        again = []
        for entry, result in zip(batch, results, strict=True):
            request = entry.request
            if not request.left:
                continue  # its caller has gone
            if refused_whole:
                entry.alone = True
                again.append(entry)
                continue
            request.results[entry.place] = result
            request.left -= 1
            if not request.left:
                request.wake()
        self._waiting.extendleft(reversed(again))

    def _wake_next(self) -> None:
        """Wake the first waiting caller that is free to lead, if a call may fly; the lock is held."""
        if self._may_fly():
            for entry in self._waiting:
                if not entry.request.sending and self._has_time(entry.request):
                    entry.request.wake()
                    return
