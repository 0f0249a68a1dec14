"""The messages that a lane holds: hidden for as long as it works on them, acknowledged or released in the end."""

import logging
from collections.abc import Callable, Sequence

from service2_consumer.layouts import Held
from service2_consumer.metrics import Metrics
from service2_consumer.ports import Queue
from service2_consumer.record import Message

logger = logging.getLogger(__name__)

# However often it is extended, SQS shows a message again twelve hours after its receive:
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
MAX_HELD_SECONDS = 12 * 3600 - 60  # a margin, for SQS counts from when it sent its answer

_MOST_IN_A_CALL = 10

_AFTER_FAILURE = 5 / 8  # of the timeout: an extension that failed is tried again in an eighth of it


class Holding:
    """Receipts and their time; what SQS does not do is left to the visibility timeout.

    `beat` is called after each call to SQS: a batch needs many calls, and a slow SQS is no thread that hangs.
    """

    def __init__(self, queue: Queue, metrics: Metrics, visibility_seconds: int) -> None:
        self._queue = queue
        self._metrics = metrics
        self._visibility_seconds = visibility_seconds
        self._held: dict[str, Held] = {}
        self.beat: Callable[[], None] = lambda: None

    def add(self, message: Message, message_id: str, now_seconds: float) -> Held:
        """Hold a message received at `now_seconds` (monotonic)."""
        held = Held(
            receipt=message.receipt,
            message_id=message_id,
            receive_count=message.receive_count,
            sent_seconds=message.sent_at.timestamp(),
            received_seconds=now_seconds,
            hidden_until_seconds=now_seconds + self._visibility_seconds,
        )
        self._held[held.receipt] = held
        self._metrics.in_flight.inc()
        return held

    def acknowledge(self, messages: Sequence[Held]) -> None:
        """Delete messages from the queue: for those alone whose object is stored."""
        if not messages:
            return
        receipts = [held.receipt for held in messages]
        failed = self._in_calls(receipts, self._queue.delete)
        self._forget(receipts)
        self._metrics.deleted.inc(len(receipts) - len(failed))
        if failed:
            self._metrics.delete_failures.inc(len(failed))
            lost = set(failed)
            ids = [held.message_id for held in messages if held.receipt in lost]
            logger.warning("not deleted; they will come again and be found stored", extra={"message_ids": ids})

    def release(self, messages: Sequence[Held]) -> None:
        """Show messages to other consumers at once."""
        if not messages:
            return
        receipts = [held.receipt for held in messages]
        failed = self._hide(receipts, 0)
        self._forget(receipts)
        self._metrics.released.inc(len(receipts) - len(failed))

    def scatter(self, messages: Sequence[Held]) -> None:
        """Show every other message at once, and leave the rest to their visibility timeout.

        Messages of one batch that is given up must not meet again: together they would make the same object.
        """
        self.release(messages[::2])
        self._forget([held.receipt for held in messages[1::2]])

    def release_all(self) -> int:
        """Release whatever is held and tell how many messages that were."""
        messages = list(self._held.values())
        self.release(messages)
        return len(messages)

    def extend(self, now_seconds: float) -> bool:
        """Hide again, for the full timeout, what is past half of it; tell whether the twelve hours of one are over."""
        due = [held for held in self._held.values() if now_seconds >= self._extension_due(held)]
        for timeout, receipts in self._by_timeout(due, now_seconds).items():
            if timeout <= self._visibility_seconds / 2:
                return True
            failed = set(self._hide(receipts, timeout))
            for receipt in receipts:
                hidden = self._visibility_seconds * _AFTER_FAILURE if receipt in failed else timeout
                self._held[receipt].hidden_until_seconds = now_seconds + hidden
        return False

    def seconds_until_extension(self, now_seconds: float) -> float:
        """Tell when `extend` next has something to do."""
        return min((self._extension_due(h) for h in self._held.values()), default=float("inf")) - now_seconds

    def _extension_due(self, held: Held) -> float:
        return held.hidden_until_seconds - self._visibility_seconds / 2

    def _by_timeout(self, messages: Sequence[Held], now_seconds: float) -> dict[int, list[str]]:
        groups: dict[int, list[str]] = {}
        for held in messages:
            left = int(held.received_seconds + MAX_HELD_SECONDS - now_seconds)
            timeout = min(self._visibility_seconds, left)
            groups.setdefault(timeout, []).append(held.receipt)
        return groups

    def _hide(self, receipts: Sequence[str], seconds: int) -> list[str]:
        return self._in_calls(receipts, lambda some: self._queue.change_visibility(some, seconds))

    def _in_calls(self, receipts: Sequence[str], call: Callable[[Sequence[str]], list[str]]) -> list[str]:
        """Call SQS with a few receipts at a time; give those for which it failed."""
        failed: list[str] = []
        for start in range(0, len(receipts), _MOST_IN_A_CALL):
            failed += call(receipts[start : start + _MOST_IN_A_CALL])
            self.beat()
        return failed

    def _forget(self, receipts: Sequence[str]) -> None:
        for receipt in receipts:
            if self._held.pop(receipt, None):
                self._metrics.in_flight.dec()
