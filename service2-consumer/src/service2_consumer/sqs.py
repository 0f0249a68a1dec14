"""The SQS adapter: receive, delete, change visibility, depth; boto3 errors become QueueError."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from service2_consumer.ports import QueueError
from service2_consumer.record import Message
from service2_consumer.settings import SQS_CALL_SECONDS

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import BatchResultErrorEntryTypeDef, MessageTypeDef

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
MAX_BATCH_ENTRIES = 10

_ATTRIBUTES = ["message_id", "received_at", "source", "traceparent"]
_SYSTEM_ATTRIBUTES = ["SentTimestamp", "ApproximateReceiveCount"]
_DEPTHS = {
    "visible": "ApproximateNumberOfMessages",
    "in_flight": "ApproximateNumberOfMessagesNotVisible",
    "delayed": "ApproximateNumberOfMessagesDelayed",
}
_T = TypeVar("_T")


class SqsQueue:
    """One queue. `receiving` outlasts a long poll and never retries; `changing` is quick and does."""

    def __init__(
        self, receiving: SQSClient, changing: SQSClient, url: str, *, batch: int, visibility_seconds: int
    ) -> None:
        self._receiving = receiving
        self._changing = changing
        self._url = url
        self._batch = batch
        self._visibility_seconds = visibility_seconds

    def receive(self, wait_seconds: int) -> list[Message]:
        """Give up to a batch of messages, waiting up to `wait_seconds` for the first. Raises QueueError."""
        answer = _asked(
            lambda: self._receiving.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=self._batch,
                WaitTimeSeconds=wait_seconds,
                VisibilityTimeout=self._visibility_seconds,
                MessageAttributeNames=_ATTRIBUTES,
                MessageSystemAttributeNames=_SYSTEM_ATTRIBUTES,  # type: ignore[arg-type]  # a list of these very literals
            )
        )
        return [_message(entry) for entry in answer.get("Messages", [])]

    def delete(self, receipts: Sequence[str]) -> list[str]:
        """Acknowledge messages; give the receipts that SQS did not delete, with no exception for them."""
        failed: list[str] = []
        for some in _chunks(receipts):
            entries = [{"Id": str(i), "ReceiptHandle": receipt} for i, receipt in enumerate(some)]
            try:
                answer = _asked(
                    lambda entries=entries: self._changing.delete_message_batch(QueueUrl=self._url, Entries=entries)  # type: ignore[misc]
                )
                failed += _failed(some, answer.get("Failed", []))
            except QueueError:
                failed += some
        return failed

    def change_visibility(self, receipts: Sequence[str], seconds: int) -> list[str]:
        """Hide messages for `seconds` from now (0: show them again); give the receipts for which SQS did not."""
        failed: list[str] = []
        for some in _chunks(receipts):
            entries = [
                {"Id": str(i), "ReceiptHandle": receipt, "VisibilityTimeout": seconds} for i, receipt in enumerate(some)
            ]
            try:
                answer = _asked(
                    lambda entries=entries: self._changing.change_message_visibility_batch(  # type: ignore[misc]
                        QueueUrl=self._url, Entries=entries
                    )
                )
                failed += _failed(some, answer.get("Failed", []))
            except QueueError:
                failed += some
        return failed

    def depth(self) -> dict[str, int]:
        """Give how many messages are visible, in flight and delayed, as SQS estimates them. Raises QueueError."""
        attributes = self._queue_attributes()
        return {state: int(attributes[name]) for state, name in _DEPTHS.items()}

    def max_receive_count(self) -> int | None:
        """Give how many receives send a message to the dead-letter queue; None: there is none. Raises QueueError."""
        policy = self._queue_attributes().get("RedrivePolicy")
        return int(json.loads(policy)["maxReceiveCount"]) if policy else None

    def _queue_attributes(self) -> dict[str, str]:
        names = [*_DEPTHS.values(), "RedrivePolicy"]
        answer = _asked(
            lambda: self._changing.get_queue_attributes(QueueUrl=self._url, AttributeNames=names)  # type: ignore[arg-type]
        )
        return dict(answer.get("Attributes", {}))  # type: ignore[arg-type]


def open_queue(
    session: boto3.Session, url: str, *, lanes: int, batch: int, long_poll_seconds: int, visibility_seconds: int
) -> SqsQueue:
    """Make the clients of one queue, with room for `lanes` calls at once."""
    common = Config(
        parameter_validation=False,  # costs a fifth of a call, and these calls are always the same
        user_agent="pillarbox-consumer",  # botocore builds its own text anew with each call
        tcp_keepalive=True,
        max_pool_connections=lanes + 1,
        connect_timeout=3,
    )
    # A retried receive would leave the messages of a lost answer hidden, and the lane has its own back-off.
    receive = Config(retries={"mode": "standard", "total_max_attempts": 1}, read_timeout=long_poll_seconds + 5)
    change = Config(retries={"mode": "standard", "total_max_attempts": 3}, read_timeout=SQS_CALL_SECONDS / 3)
    return SqsQueue(
        session.client("sqs", config=common.merge(receive)),
        session.client("sqs", config=common.merge(change)),
        url,
        batch=batch,
        visibility_seconds=visibility_seconds,
    )


def _asked(call: Callable[[], _T]) -> _T:
    try:
        return call()
    except ClientError as exc:
        raise QueueError(exc.response.get("Error", {}).get("Code") or "unknown") from exc
    except (BotoCoreError, ResponseParserError) as exc:
        raise QueueError(type(exc).__name__) from exc


def _message(entry: MessageTypeDef) -> Message:
    system = entry["Attributes"]
    attributes = entry.get("MessageAttributes", {})
    return Message(
        sqs_message_id=entry["MessageId"],
        receipt=entry["ReceiptHandle"],
        body=entry["Body"],
        attributes={name: value["StringValue"] for name, value in attributes.items() if "StringValue" in value},
        sent_at=datetime.fromtimestamp(int(system["SentTimestamp"]) / 1000, UTC),
        receive_count=int(system["ApproximateReceiveCount"]),
    )


def _chunks(receipts: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(receipts), MAX_BATCH_ENTRIES):
        yield list(receipts[start : start + MAX_BATCH_ENTRIES])


def _failed(asked: Sequence[str], entries: Sequence[BatchResultErrorEntryTypeDef]) -> list[str]:
    return [asked[int(entry["Id"])] for entry in entries]
