"""A look through a queue: each message once, hidden meanwhile, and shown again at the end unless it was deleted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from pillarbox_ops.dead_letters import DeadLetter, Judge, letter_of

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

T = TypeVar("T")

WAIT_SECONDS = 1  # a long poll asks all servers of SQS, a short one only some
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
BATCH = 10
MAX_HELD = 120_000  # of one queue; past it SQS gives no more messages and no error
_EMPTY_POLLS = 2
_RELEASE_THREADS = 8
NOT_CONFIRMED = "not_confirmed"


@dataclass(slots=True)
class _Held:
    receipt: str
    hidden_until: float  # of the monotonic clock


class Scan:
    """A context manager and an iterator of messages. It ends when the queue twice gives nothing.

    What it has given stays hidden for `hold_seconds` at a time, extended in the background, until the end of the
    context; after a kill SQS shows it again when that time is over.
    """

    def __init__(
        self,
        sqs: SQSClient,
        url: str,
        judge: Judge,
        *,
        hold_seconds: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sqs, self._url, self._judge = sqs, url, judge
        self._hold_seconds = hold_seconds
        self._clock = clock
        self._held: dict[str, _Held] = {}
        self._given: set[str] = set()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)

    def __enter__(self) -> Self:
        self._keeper.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._ended.set()
        self._keeper.join()
        self._change_visibility(list(self._held.values()), 0)

    def __iter__(self) -> Iterator[DeadLetter]:
        empty = 0
        while empty < _EMPTY_POLLS:
            found = self._receive()
            empty = 0 if found else empty + 1
            for letter in found:
                if letter.sqs_message_id not in self._given:
                    self._given.add(letter.sqs_message_id)
                    yield letter

    @property
    def is_full(self) -> bool:
        """Return whether it holds as many messages as SQS gives to anyone, so that others may be left."""
        return len(self._held) >= MAX_HELD

    def delete(self, letters: Sequence[DeadLetter]) -> dict[str, str]:
        """Delete messages that it has given; return the SQS id and the error code of each that is still there."""
        failed: dict[str, str] = {}
        for part in chunks(letters, BATCH):
            with self._lock:
                receipts = [self._held[letter.sqs_message_id].receipt for letter in part]
            entries: Any = [{"Id": str(i), "ReceiptHandle": receipt} for i, receipt in enumerate(receipts)]
            codes = results_of(self._sqs.delete_message_batch(QueueUrl=self._url, Entries=entries), len(part))
            for letter, code in zip(part, codes, strict=True):
                if code:
                    failed[letter.sqs_message_id] = code
                else:
                    with self._lock:
                        self._held.pop(letter.sqs_message_id, None)
        return failed

    def extend(self) -> None:
        """Hide for longer what would be shown in less than half of the time. A failure is left to the next call."""
        now = self._clock()
        with self._lock:
            due = [held for held in self._held.values() if held.hidden_until - now < self._hold_seconds / 2]
        self._change_visibility(due, self._hold_seconds)

    def _receive(self) -> list[DeadLetter]:
        reply = self._sqs.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=BATCH,
            VisibilityTimeout=self._hold_seconds,
            WaitTimeSeconds=WAIT_SECONDS,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        )
        found = reply.get("Messages", [])
        hidden_until = self._clock() + self._hold_seconds
        with self._lock:
            self._held.update({entry["MessageId"]: _Held(entry["ReceiptHandle"], hidden_until) for entry in found})
        return [letter_of(entry, self._judge) for entry in found]

    def _keep(self) -> None:
        while not self._ended.wait(max(1, self._hold_seconds / 4)):
            self.extend()

    def _change_visibility(self, held: Sequence[_Held], seconds: int) -> None:
        with ThreadPoolExecutor(_RELEASE_THREADS) as pool:
            list(pool.map(lambda part: self._change_some(part, seconds), chunks(held, BATCH)))

    def _change_some(self, held: Sequence[_Held], seconds: int) -> None:
        entries: Any = [
            {"Id": str(i), "ReceiptHandle": one.receipt, "VisibilityTimeout": seconds} for i, one in enumerate(held)
        ]
        hidden_until = self._clock() + seconds
        try:
            reply = self._sqs.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)
        except (ClientError, BotoCoreError):
            return  # SQS shows them when their time is over
        for one, code in zip(held, results_of(reply, len(held)), strict=True):
            if not code:
                one.hidden_until = hidden_until


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of `size`; the last one may be shorter."""
    part: list[T] = []
    for item in items:
        part.append(item)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part


def results_of(reply: Mapping[str, Any], count: int) -> list[str]:
    """Return the error code of each entry of a batch call whose ids are "0", "1", …; empty for what was done.

    An entry that the reply does not name is `not_confirmed`.
    """
    codes = [NOT_CONFIRMED] * count
    for entry in reply.get("Successful", []):
        codes[int(entry["Id"])] = ""
    for entry in reply.get("Failed", []):
        codes[int(entry["Id"])] = entry.get("Code") or NOT_CONFIRMED
    return codes
