"""Moves dead letters back to their queue: a copy first, the delete last, so that a kill between them loses nothing.

A copy under the same id is stored once, however often it is sent; with OBJECT_LAYOUT=batch a copy after a kill can be
stored a second time in another batch, where each line carries its message_id. A message without a valid `message_id`
attribute gets one here, made from its SQS id and the time of its first sending, for a copy has a new SQS id.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pillarbox.ids import message_id_at
from pillarbox.message import MAX_BATCH_ENTRIES, MAX_MESSAGE_BYTES
from pillarbox_ops.dead_letters import Attributes, DeadLetter, attributes_size, entry_of
from pillarbox_ops.errors import content_refusal
from pillarbox_ops.pace import Pace
from pillarbox_ops.scan import Scan, results_of

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
MAX_ATTRIBUTES = 10
_MAX_TASK_RATE = 500  # messages a second, of StartMessageMoveTask
_TASK_POLL_SECONDS = 2
_NO_MOVE_TASK = ("UnsupportedOperation", "InvalidAction")
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html
MIN_TASK_RATE = 1


@dataclass(slots=True)
class Moved:
    """What became of messages: how many were moved, which SQS ids failed and why, how many have no id of their own."""

    moved: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    without_id: int = 0

    @property
    def codes(self) -> str:
        """Return the error codes with their numbers, the most frequent first."""
        return ", ".join(f"{code} ({number})" for code, number in Counter(self.failed.values()).most_common())


def attributes_to_send(letter: DeadLetter) -> Attributes:
    """Return a message's attributes with a `message_id`.

    It is left out where ten attributes or one MiB leave no room for it; such a message may be stored twice.
    """
    if letter.message_id:
        return letter.attributes
    identity = {"DataType": "String", "StringValue": derived_id(letter)}
    attributes = {**letter.attributes, "message_id": identity}
    size = letter.size - attributes_size(letter.attributes) + attributes_size(attributes)
    return letter.attributes if len(attributes) > MAX_ATTRIBUTES or size > MAX_MESSAGE_BYTES else attributes


def derived_id(letter: DeadLetter) -> str:
    """Return the message id of a message that has none: the same one for each copy of it."""
    return message_id_at(letter.sent_at, hashlib.sha256(letter.sqs_message_id.encode()).digest())


class Sender:
    """Sends messages to a queue, up to ten and one MiB in a call."""

    def __init__(self, sqs: SQSClient, url: str, pace: Pace) -> None:
        self._sqs, self._url, self._pace = sqs, url, pace

    def send(self, letters: Sequence[DeadLetter]) -> dict[str, str]:
        """Send a pack of messages; return the SQS id and the error code of each that was not sent.

        Raise ClientError if the queue refuses them all for another cause than their content.
        """
        self._pace.wait(len(letters))
        return self._send(letters)

    def _send(self, letters: Sequence[DeadLetter]) -> dict[str, str]:
        entries: Any = [entry_of(letter, attributes_to_send(letter), i) for i, letter in enumerate(letters)]
        try:
            reply = self._sqs.send_message_batch(QueueUrl=self._url, Entries=entries)
        except ClientError as exc:
            code = content_refusal(exc)
            if code is None:
                raise
            if len(letters) == 1:
                return {letters[0].sqs_message_id: code}
            return {name: code for letter in letters for name, code in self._send([letter]).items()}
        codes = results_of(reply, len(letters))
        return {letter.sqs_message_id: code for letter, code in zip(letters, codes, strict=True) if code}


def packs(letters: Iterable[DeadLetter]) -> Iterator[list[DeadLetter]]:
    """Yield messages in lists that fit into one call, in their order."""
    pack: list[DeadLetter] = []
    size = 0
    for letter in letters:
        own = letter.size + attributes_size(attributes_to_send(letter)) - attributes_size(letter.attributes)
        if pack and (len(pack) == MAX_BATCH_ENTRIES or size + own > MAX_MESSAGE_BYTES):
            yield pack
            pack, size = [], 0
        pack.append(letter)
        size += own
    if pack:
        yield pack


def move(letters: Iterable[DeadLetter], sender: Sender, scan: Scan | None, done: Callable[[int], None]) -> Moved:
    """Send messages and then delete them from the queue of a scan; without one, as from a file, only send them.

    `done` is called with the number of messages of each call. What was sent and not deleted counts as failed.
    """
    result = Moved()
    for pack in packs(letters):
        failed = sender.send(pack)
        sent = [letter for letter in pack if letter.sqs_message_id not in failed]
        if scan and sent:
            failed |= {name: f"sent, not deleted: {code}" for name, code in scan.delete(sent).items()}
        result.failed |= failed
        result.moved += len(pack) - len(failed)
        result.without_id += sum("message_id" not in attributes_to_send(letter) for letter in sent)
        done(len(pack))
    return result


@dataclass(frozen=True, slots=True)
class EndedTask:
    """How a move task of SQS ended: COMPLETED, FAILED or CANCELLED, how many it moved, and why it failed."""

    status: str
    moved: int
    failure: str


def start_move_task(sqs: SQSClient, url: str, rate: float | None) -> str | None:
    """Tell SQS to move all messages of a dead-letter queue back; return the task's handle.

    A rate is at least MIN_TASK_RATE messages a second; SQS takes whole numbers up to 500, so it may move fewer.
    Return None where the service cannot, as emulators. Raise ClientError for any other refusal.
    """
    options: Any = {"MaxNumberOfMessagesPerSecond": min(_MAX_TASK_RATE, int(rate))} if rate else {}
    try:
        return sqs.start_message_move_task(SourceArn=_arn(sqs, url), **options)["TaskHandle"]
    except ClientError as exc:
        if str(exc.response["Error"]["Code"]).endswith(_NO_MOVE_TASK):
            return None
        raise


def wait_for_task(sqs: SQSClient, url: str, sleep: Callable[[float], None] = time.sleep) -> EndedTask:
    """Return how the newest move task of a dead-letter queue ended, once it is listed and has ended."""
    arn = _arn(sqs, url)
    while True:
        tasks = sqs.list_message_move_tasks(SourceArn=arn, MaxResults=1)["Results"]
        task = tasks[0] if tasks else {}
        status = task.get("Status", "")
        if tasks and status not in ("RUNNING", "CANCELLING"):
            return EndedTask(status, task.get("ApproximateNumberOfMessagesMoved", 0), task.get("FailureReason", ""))
        sleep(_TASK_POLL_SECONDS)


def _arn(sqs: SQSClient, url: str) -> str:
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
