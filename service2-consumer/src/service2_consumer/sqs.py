"""The SQS adapter: receive, delete, change visibility, depth. Failed calls become QueueError."""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pillarbox.backoff import Backoff
from pillarbox.payload import SIZE_ATTRIBUTES
from pillarbox_aws.sqs_client import MALFORMED_REPLY, CallsSqs, SqsError, batch_results, entries
from service2_consumer.model import InFlightMessage
from service2_consumer.ports import QueueError
from service2_consumer.settings import SQS_CALL_SECONDS

CONNECT_SECONDS = 2.0

_ATTRIBUTES = ("message_id", "received_at", "source", "traceparent", "tracestate", *SIZE_ATTRIBUTES)
_SYSTEM_ATTRIBUTES = ["SentTimestamp", "ApproximateReceiveCount", "AWSTraceHeader"]
_DEPTHS = {
    "visible": "ApproximateNumberOfMessages",
    "in_flight": "ApproximateNumberOfMessagesNotVisible",
    "delayed": "ApproximateNumberOfMessagesDelayed",
}
_QUICK_SECONDS = SQS_CALL_SECONDS / 4
_QUICK_ATTEMPTS = 3  # with their pauses they stay within SQS_CALL_SECONDS unless each of them hangs
_PERMANENT = ("ReceiptHandleIsInvalid", "InvalidParameterValue", "QueueDoesNotExist", "NonExistentQueue")

logger = logging.getLogger(__name__)


class SqsQueue:
    """One queue."""

    def __init__(
        self, client: CallsSqs, url: str, *, batch: int, visibility_seconds: int, attributes: Sequence[str] = ()
    ) -> None:
        self._client = client
        self._url = url
        self._dead_letter_url = ""
        self._receive = {
            "QueueUrl": url,
            "MaxNumberOfMessages": batch,
            "VisibilityTimeout": visibility_seconds,
            "MessageAttributeNames": [*_ATTRIBUTES, *attributes],
            "MessageSystemAttributeNames": _SYSTEM_ATTRIBUTES,
        }

    def receive(self, wait_seconds: int) -> list[InFlightMessage]:
        """Return up to a batch of messages, waiting up to `wait_seconds` for the first. Raise QueueError.

        The call is sent once: a lost answer has hidden its messages, and the lane has its own back-off.
        """
        payload = self._receive | {"WaitTimeSeconds": wait_seconds}
        try:
            return _messages(self._client.call("ReceiveMessage", payload, read_seconds=wait_seconds + 5))
        except SqsError as exc:
            raise QueueError(exc.cause) from exc

    def delete(self, receipts: Sequence[str]) -> list[str]:
        """Delete up to ten messages; return the receipts that SQS did not delete. Raise nothing."""
        return self._batch("DeleteMessageBatch", receipts, {})

    def change_visibility(self, receipts: Sequence[str], seconds: int) -> list[str]:
        """Hide up to ten messages for `seconds` from now (0: show them); return the receipts for which SQS did not."""
        return self._batch("ChangeMessageVisibilityBatch", receipts, {"VisibilityTimeout": seconds})

    def depth(self) -> dict[str, int]:
        """Return how many messages are visible, in flight and delayed, as SQS estimates them. Raise QueueError."""
        payload = {"QueueUrl": self._url, "AttributeNames": list(_DEPTHS.values())}
        try:
            attributes = self._call("GetQueueAttributes", payload).get("Attributes")
            return {state: _whole_number(attributes, name) for state, name in _DEPTHS.items()}
        except SqsError as exc:
            raise QueueError(exc.cause) from exc

    def dead_letters(self) -> int | None:
        """Return how many messages the dead-letter queue holds, as SQS estimates them; None without such a queue.

        Raise QueueError.
        """
        try:
            url = self._dead_letter_url or self._find_dead_letter_queue()
            if not url:
                return None
            self._dead_letter_url = url
            wanted = [_DEPTHS["visible"], _DEPTHS["in_flight"]]
            attributes = self._call("GetQueueAttributes", {"QueueUrl": url, "AttributeNames": wanted}).get("Attributes")
            return sum(_whole_number(attributes, name) for name in wanted)
        except SqsError as exc:
            raise QueueError(exc.cause) from exc

    def _find_dead_letter_queue(self) -> str:
        """Return the URL of the dead-letter queue; empty without one. Raise SqsError.

        It is in the queue's own account and region (SQS developer guide, "Using dead-letter queues"), so that its URL
        differs in the name alone.
        """
        payload = {"QueueUrl": self._url, "AttributeNames": ["RedrivePolicy"]}
        attributes = self._call("GetQueueAttributes", payload).get("Attributes") or {}
        try:
            policy = json.loads(attributes.get("RedrivePolicy") or "{}")
            arn = str(policy.get("deadLetterTargetArn") or "")
        except (AttributeError, TypeError, ValueError) as exc:
            raise SqsError(MALFORMED_REPLY) from exc
        name = arn.rpartition(":")[2]
        return f"{self._url.rpartition('/')[0]}/{name}" if name else ""

    def _batch(self, action: str, receipts: Sequence[str], fields: Mapping[str, object]) -> list[str]:
        wanted = [{"Id": str(i), "ReceiptHandle": receipt, **fields} for i, receipt in enumerate(receipts)]
        try:
            results = batch_results(self._call(action, {"QueueUrl": self._url, "Entries": wanted}), len(receipts))
        except SqsError:
            return list(receipts)
        return [receipt for receipt, code in zip(receipts, results, strict=True) if code]

    def _call(self, action: str, payload: Mapping[str, object]) -> dict[str, Any]:
        """Return the reply to a call that may be sent a few times. Raise SqsError."""
        backoff = Backoff(0.1, 1)
        for _ in range(_QUICK_ATTEMPTS - 1):
            try:
                return self._client.call(action, payload, read_seconds=_QUICK_SECONDS)
            except SqsError as exc:
                if exc.cause.endswith(_PERMANENT):
                    raise
                time.sleep(backoff.next_seconds())
        return self._client.call(action, payload, read_seconds=_QUICK_SECONDS)


def _messages(reply: Mapping[str, Any]) -> list[InFlightMessage]:
    """Return the messages of a reply without the malformed ones, which their visibility timeout releases.

    Raise SqsError if all are malformed.
    """
    found = entries(reply, "Messages")
    messages = [message for entry in found if (message := _message(entry))]
    if len(messages) < len(found):
        logger.warning("SQS returned malformed messages", extra={"messages": len(found) - len(messages)})
        if not messages:
            raise SqsError(MALFORMED_REPLY)
    return messages


def _message(entry: Mapping[str, Any]) -> InFlightMessage | None:
    sqs_message_id, receipt, body = (entry.get(name) for name in ("MessageId", "ReceiptHandle", "Body"))
    if not (isinstance(sqs_message_id, str) and isinstance(receipt, str) and isinstance(body, str)):
        return None
    system = entry.get("Attributes")
    try:
        sent_at = datetime.fromtimestamp(_whole_number(system, "SentTimestamp") / 1000, UTC)
        receive_count = _whole_number(system, "ApproximateReceiveCount")
    except (SqsError, OverflowError, OSError, ValueError):  # the last three: a year that datetime does not support
        return None
    attributes = _string_attributes(entry.get("MessageAttributes"))
    trace_header = _text(system, "AWSTraceHeader")
    return InFlightMessage(sqs_message_id, receipt, body, attributes, sent_at, receive_count, trace_header)


def _string_attributes(found: object) -> dict[str, str]:
    values = found.items() if isinstance(found, dict) else ()
    strings = ((name, value.get("StringValue")) for name, value in values if isinstance(value, dict))
    return {name: text for name, text in strings if isinstance(text, str)}


def _text(attributes: object, name: str) -> str:
    value = attributes.get(name) if isinstance(attributes, dict) else None
    return value if isinstance(value, str) else ""


def _whole_number(attributes: object, name: str) -> int:
    """Return a number that SQS writes as a string. Raise SqsError."""
    value = attributes.get(name) if isinstance(attributes, dict) else None
    text = str(value) if isinstance(value, str | int) else ""
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise SqsError(MALFORMED_REPLY)
    return int(text)
