"""The messages that a lane holds: hidden from other consumers while it works on them, then deleted or released."""

import logging
from collections.abc import Callable, Sequence

from pillarbox.message import MAX_BATCH_ENTRIES
from service2_consumer.metrics import Metrics
from service2_consumer.model import InFlightMessage
from service2_consumer.ports import Queue

logger = logging.getLogger(__name__)

# SQS shows a message again twelve hours after its receive, however often its visibility timeout is extended:
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
MAX_HIDDEN_SECONDS = 12 * 3600 - 60  # a margin, because SQS counts from the time of its answer

_AFTER_FAILURE = 5 / 8  # of the timeout: a failed extension is repeated after an eighth of it


class InFlightMessages:
    """Keeps the visibility of a lane's messages. If a call fails, the visibility timeout ends on its own.

    `beat` is called after each call to SQS: a batch needs many calls, and a slow SQS must not look like a hung thread.
    """

    def __init__(self, queue: Queue, metrics: Metrics, visibility_seconds: int) -> None:
        self._queue = queue
        self._metrics = metrics
        self._visibility_seconds = visibility_seconds
        self._messages: dict[str, InFlightMessage] = {}
        self.beat: Callable[[], None] = lambda: None

    def add(self, message: InFlightMessage, message_id: str, now_seconds: float) -> None:
        """Hold a message received at `now_seconds`. Its body and attributes are dropped: the record has them."""
        message.body, message.attributes = "", {}
        message.message_id = message_id
        message.received_seconds = now_seconds
        message.hidden_until_seconds = now_seconds + self._visibility_seconds
        self._messages[message.receipt] = message
        self._metrics.in_flight.inc()

    def acknowledge(self, messages: Sequence[InFlightMessage]) -> None:
        """Delete messages from the queue. Call it only for messages of which an object is stored, once an object.

        A message with several records remains until all are stored. One that was released is left alone.
        """
        for message in messages:
            message.outstanding -= 1
        messages = self._held([message for message in messages if message.outstanding <= 0])
        if not messages:
            return
        failed = set(self._in_calls(messages, self._queue.delete))
        self._metrics.deleted.inc(len(messages) - len(failed))
        if failed:
            self._metrics.delete_failures.inc(len(failed))
            kept = [message for message in messages if message.receipt in failed]
            for message in kept:
                message.span.fail("delete_failed")
            extra = {"message_ids": [m.message_id for m in kept], "trace_ids": [m.trace_id for m in kept]}
            logger.warning("delete failed; redelivery will be detected as a duplicate", extra=extra)
        self._forget(messages)

    def release(self, messages: Sequence[InFlightMessage]) -> None:
        """Show messages to other consumers at once."""
        messages = self._held(messages)
        if not messages:
            return
        failed = self._hide(messages, 0)
        for message in messages:
            message.span.fail("released")
        self._forget(messages)
        self._metrics.released.inc(len(messages) - len(failed))

    def leave(self, messages: Sequence[InFlightMessage]) -> None:
        """Hold messages no longer; their visibility timeout shows them."""
        self._forget(messages)

    def release_half(self, messages: Sequence[InFlightMessage]) -> None:
        """Show every other message at once, and leave the rest to their visibility timeout.

        The messages of a failed batch must not return together: they would form the same object again.
        """
        self.release(messages[::2])
        self._forget(messages)

    def release_all(self) -> int:
        """Release all messages and return their number."""
        messages = list(self._messages.values())
        self.release(messages)
        return len(messages)

    def extend(self, now_seconds: float) -> bool:
        """Hide again, for the full timeout, the messages past half of it; return False once the twelve hours end."""
        due = [message for message in self._messages.values() if now_seconds >= self._extension_due(message)]
        for timeout, messages in self._by_timeout(due, now_seconds).items():
            if timeout <= self._visibility_seconds / 2:
                return False
            failed = set(self._hide(messages, timeout))
            for message in messages:
                hidden = self._visibility_seconds * _AFTER_FAILURE if message.receipt in failed else timeout
                message.hidden_until_seconds = now_seconds + hidden
        return True

    def seconds_until_extension(self, now_seconds: float) -> float:
        """Return the time until the next extension; infinite without messages."""
        return min((self._extension_due(m) for m in self._messages.values()), default=float("inf")) - now_seconds

    def _extension_due(self, message: InFlightMessage) -> float:
        return message.hidden_until_seconds - self._visibility_seconds / 2

    def _by_timeout(self, messages: Sequence[InFlightMessage], now_seconds: float) -> dict[int, list[InFlightMessage]]:
        groups: dict[int, list[InFlightMessage]] = {}
        for message in messages:
            left = int(message.received_seconds + MAX_HIDDEN_SECONDS - now_seconds)
            groups.setdefault(min(self._visibility_seconds, left), []).append(message)
        return groups

    def _hide(self, messages: Sequence[InFlightMessage], seconds: int) -> list[str]:
        return self._in_calls(messages, lambda some: self._queue.change_visibility(some, seconds))

    def _in_calls(self, messages: Sequence[InFlightMessage], call: Callable[[Sequence[str]], list[str]]) -> list[str]:
        """Call SQS with up to ten receipts at a time; return those for which it failed."""
        receipts = [message.receipt for message in messages]
        failed: list[str] = []
        for start in range(0, len(receipts), MAX_BATCH_ENTRIES):
            failed += call(receipts[start : start + MAX_BATCH_ENTRIES])
            self.beat()
        return failed

    def _held(self, messages: Sequence[InFlightMessage]) -> list[InFlightMessage]:
        """Return those of the messages that are still held, each once."""
        return list({m.receipt: m for m in messages if m.receipt in self._messages}.values())

    def _forget(self, messages: Sequence[InFlightMessage]) -> None:
        before = len(self._messages)
        for message in messages:
            self._messages.pop(message.receipt, None)
        self._metrics.in_flight.dec(before - len(self._messages))
        for message in messages:
            message.span.end()
