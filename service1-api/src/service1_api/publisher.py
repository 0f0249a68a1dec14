"""Group commit: concurrent requests share calls to the queue, and each gets the result of its own e-mails."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pillarbox.message import MAX_BATCH_ENTRIES, MAX_MESSAGE_BYTES
from pillarbox.tracing import NO_TRACER, UNTRACED, Span, Tracer
from service1_api.metrics import Metrics
from service1_api.outgoing import (
    Message,
    MessageRefusedError,
    OverloadedError,
    PublishError,
    QueueUnavailableError,
)

# How many e-mails must wait before one more call starts beside 0, 1, 2 and 3 others. An idle service sends at once;
# a busy one lets batches fill, because every call that ends is followed by one that takes what waits.
MIN_BACKLOG = (1, 3, 8, 10)

# After this wait a caller may send at once: a call that hangs must not delay the next ones.
PATIENCE_SECONDS = 0.1


class Queue(Protocol):
    """The queue: one call carries up to ten messages."""

    def send(self, messages: Sequence[Message], deadline: float) -> Sequence[PublishError | None]:
        """Return each message's own result; None means confirmed. Return by `deadline` (monotonic seconds).

        Raise QueueUnavailableError, or MessageRefusedError if the call as a whole was rejected.
        """
        ...


class _Request:
    """One caller and its messages. It is woken when all have their results, or when it may send a batch."""

    __slots__ = ("_asleep", "deadline", "left", "results", "sending", "waited_too_long")

    def __init__(self, count: int, deadline: float) -> None:
        self._asleep = threading.Lock()  # released by the waker: an Event costs 2 % of an e-mail
        self._asleep.acquire()
        self.deadline = deadline
        self.left = count
        self.results: list[PublishError | None] = [QueueUnavailableError("deadline")] * count
        self.sending = False
        self.waited_too_long = False

    def sleep(self, seconds: float) -> bool:
        """Wait until woken; return False after that many seconds. The caller must then look at what has changed."""
        return self._asleep.acquire(timeout=seconds)

    def wake(self) -> None:
        """Wake the caller, or let its next sleep end at once. The publisher's lock must be held."""
        if self._asleep.locked():
            self._asleep.release()


@dataclass(slots=True)
class _Entry:
    request: _Request
    index: int
    message: Message
    alone: bool = False


class Publisher:
    """Sends messages in shared calls on the callers' own threads. It confirms nothing before the queue has.

    At most four calls are in flight. A waiting caller sends a batch as soon as one more call is allowed; when a call
    ends, its sender wakes the first caller that waits. No caller starts a call that may end past its own deadline.
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
        tracer: Tracer = NO_TRACER,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue = queue
        self._metrics = metrics
        self._deadline_seconds = deadline_seconds
        self._attempt_seconds = attempt_seconds
        self._max_waiting = max_waiting
        self._patience_seconds = patience_seconds
        self._tracer = tracer
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: deque[_Entry] = deque()
        self._in_flight = 0

    def publish(self, messages: Sequence[Message], deadline: float | None = None) -> list[PublishError | None]:
        """Return each message's result, None for confirmed, by the deadline. Raise OverloadedError at once."""
        request = _Request(len(messages), deadline or self._clock() + self._deadline_seconds)
        batch = self._enter(request, messages)
        try:
            while batch or request.left:
                if batch:
                    self._send_batch(batch, request)
                elif not request.sleep(max(min(request.deadline - self._clock(), self._patience_seconds), 0)):
                    if self._clock() >= request.deadline:
                        break
                    request.waited_too_long = True
                batch = self._next_batch(request)
        finally:
            results = self._leave(request)
        return results

    def _enter(self, request: _Request, messages: Sequence[Message]) -> list[_Entry]:
        with self._lock:
            if len(self._waiting) + len(messages) > self._max_waiting:
                raise OverloadedError("too_many_waiting")
            self._waiting.extend(_Entry(request, index, message) for index, message in enumerate(messages))
            return self._take_batch(request)

    def _next_batch(self, request: _Request) -> list[_Entry]:
        with self._lock:
            return self._take_batch(request) if request.left else []

    def _leave(self, request: _Request) -> list[PublishError | None]:
        """Remove the entries without a result. One in flight may still be confirmed, but no caller receives that."""
        with self._lock:
            if request.left:
                request.left = 0
                self._waiting = deque(entry for entry in self._waiting if entry.request is not request)
            self._wake_next()
            return list(request.results)

    def _take_batch(self, request: _Request) -> list[_Entry]:
        """Take the next batch if a call may start now. The lock must be held."""
        waiting = self._waiting
        may_skip_backlog = request.waited_too_long and waiting and self._in_flight < len(MIN_BACKLOG)
        if not (self._can_send() or may_skip_backlog) or not self._has_time(request):
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

    def _can_send(self) -> bool:
        return self._in_flight < len(MIN_BACKLOG) and len(self._waiting) >= MIN_BACKLOG[self._in_flight]

    def _has_time(self, request: _Request) -> bool:
        return self._clock() + self._attempt_seconds <= request.deadline

    def _send_batch(self, batch: list[_Entry], request: _Request) -> None:
        results: Sequence[PublishError | None] = [QueueUnavailableError("internal_error")] * len(batch)
        messages = [entry.message for entry in batch]
        span: Span = UNTRACED
        started = self._clock()
        try:
            span = self._tracer.send(messages)
            results = self._queue.send(messages, request.deadline)
        except PublishError as exc:
            results = [exc] * len(batch)
        finally:  # a bug in the adapter must not leave the other callers waiting
            self._metrics.publish_seconds.observe(self._clock() - started)
            self._metrics.publish_batch_size.observe(len(batch))
            with self._lock:
                self._in_flight -= 1
                self._metrics.publish_in_flight.set(self._in_flight)
                request.sending = False
                self._settle(batch, results)
                self._wake_next()
            for result in results:
                if result:
                    span.fail(result.cause)
            span.end()

    def _settle(self, batch: list[_Entry], results: Sequence[PublishError | None]) -> None:
        """Hand out the results. If one message caused the rejection of a whole call, each is sent again, alone."""
        whole_call_refused = len(batch) > 1 and all(isinstance(result, MessageRefusedError) for result in results)
        again = []
        for entry, result in zip(batch, results, strict=True):
            request = entry.request
            if not request.left:
                continue  # its caller no longer waits
            if whole_call_refused:
                entry.alone = True
                again.append(entry)
                continue
            request.results[entry.index] = result
            request.left -= 1
            if not request.left:
                request.wake()
        self._waiting.extendleft(reversed(again))

    def _wake_next(self) -> None:
        """Wake the first waiting caller that can send, if a call may start. The lock must be held."""
        if self._can_send():
            for entry in self._waiting:
                if not entry.request.sending and self._has_time(entry.request):
                    entry.request.wake()
                    return
