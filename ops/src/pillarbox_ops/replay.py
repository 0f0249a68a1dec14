"""Archived e-mails back into SQS messages as service1-api writes them, and their way into a queue."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pillarbox.ids import message_id_at
from pillarbox.message import MAX_BATCH_ENTRIES, MAX_MESSAGE_BYTES, Envelope, encode_body, sqs_size_bytes
from pillarbox.payload import SIZE_ATTRIBUTE, Pointer, payload_key
from pillarbox_ops.errors import content_refusal
from pillarbox_ops.pace import Pace
from pillarbox_ops.records import ArchivedEmail
from pillarbox_ops.replay_journal import Journal

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageAttributeValueTypeDef, SendMessageBatchRequestEntryTypeDef

PAYLOAD_PREFIX = "payloads/"  # of service1-api's PAYLOAD_PREFIX and of the stack's policies
_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")
_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to send; `numbers` are attributes of type Number. Its repr never shows the e-mail."""

    message_id: str
    body: str = field(repr=False)
    attributes: dict[str, str]
    numbers: dict[str, str] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """Return the size as SQS counts it; "Number" has as many letters as "String"."""
        return sqs_size_bytes(self.body, self.attributes | self.numbers)

    def entry(self, number: int) -> SendMessageBatchRequestEntryTypeDef:
        """Return the message as an entry of a batch."""
        attributes: dict[str, MessageAttributeValueTypeDef] = {
            name: {"DataType": kind, "StringValue": value}
            for kind, values in (("String", self.attributes), ("Number", self.numbers))
            for name, value in values.items()
        }
        return {"Id": str(number), "MessageBody": self.body, "MessageAttributes": attributes}


def outgoing(email: ArchivedEmail) -> Outgoing:
    """Return the message of an e-mail: its fields as the body, and the attributes that the record still names.

    The span of the trace is a new one. Without validation the body is the one received. An id that is no UUIDv7, of a
    foreign producer, is left out: the consumer would ignore it.
    """
    trace_id = str(email.metadata.get("trace_id", ""))
    named = {
        "message_id": email.message_id,
        "received_at": str(email.metadata.get("received_at", "")),
        "source": str(email.metadata.get("source", "")),
        "traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-00" if _TRACE_ID.fullmatch(trace_id) else "",
    }
    body = encode_body(email.fields) if email.fields else email.content
    return Outgoing(email.message_id, body, Envelope.from_attributes(named).to_attributes())


@dataclass(slots=True)
class Replayed:
    """What a replay did, in numbers of e-mails."""

    sent: int = 0
    too_large: int = 0
    failed: int = 0


class Replay:
    """Sends e-mails to one queue, ten or 1 MiB in a call.

    `store_payload` puts a body that is too large for SQS into a bucket and returns the bucket's name; None if there is
    no such bucket.
    """

    def __init__(
        self,
        sqs: SQSClient,
        queue_url: str,
        *,
        pace: Pace,
        journal: Journal,
        store_payload: Callable[[str, bytes], str] | None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._sqs = sqs
        self._queue_url = queue_url
        self._pace = pace
        self._journal = journal
        self._store_payload = store_payload
        self._sleep = sleep
        self.result = Replayed()

    def send(self, emails: Iterable[ArchivedEmail], note: Callable[[str], None]) -> None:
        """Send e-mails, but those that the journal has; `note` gets a line for each that cannot be sent."""
        for batch in batches(self._fitting(emails, note)):
            self._pace.wait(len(batch))
            refused = self._sent(batch)
            self._journal.add([message.message_id for message in batch if message.message_id not in refused])
            self.result.sent += len(batch) - len(refused)
            self.result.failed += len(refused)
            for message_id, code in refused.items():
                note(f"{message_id} was not sent: {code}")

    def _fitting(self, emails: Iterable[ArchivedEmail], note: Callable[[str], None]) -> Iterator[Outgoing]:
        for email in emails:
            if email.message_id in self._journal:
                continue
            message = outgoing(email)
            if message.size_bytes > MAX_MESSAGE_BYTES:
                if self._store_payload is None:
                    self.result.too_large += 1
                    note(f"{email.message_id} is too large for SQS, and PAYLOAD_BUCKET is not set")
                    continue
                message = _pointer(message, email, self._store_payload)
            yield message

    def _sent(self, batch: Sequence[Outgoing]) -> dict[str, str]:
        """Send a batch, one by one if SQS refuses it for its content; return the ids that were not taken with codes."""
        try:
            return self._taken(batch)
        except Exception as exc:
            code = content_refusal(exc)
            if code is None:
                raise
            if len(batch) == 1:
                return {batch[0].message_id: code}
            return {name: code for message in batch for name, code in self._sent([message]).items()}

    def _taken(self, batch: Sequence[Outgoing]) -> dict[str, str]:
        """Send a batch, again what SQS fails to take, and return the ids that it did not take with its codes."""
        left = dict(enumerate(batch))
        codes: dict[int, str] = {}
        for attempt in range(_ATTEMPTS):
            entries = [message.entry(number) for number, message in left.items() if number not in codes]
            reply = self._sqs.send_message_batch(QueueUrl=self._queue_url, Entries=entries)
            for confirmed in reply.get("Successful", []):
                left.pop(int(confirmed["Id"]), None)
            for failed in reply.get("Failed", []):
                if failed["SenderFault"] or attempt + 1 == _ATTEMPTS:
                    codes[int(failed["Id"])] = failed["Code"]
            if len(codes) == len(left) or attempt + 1 == _ATTEMPTS:
                break
            self._sleep(0.5 * 2**attempt)
        return {message.message_id: codes.get(number, "not_confirmed") for number, message in left.items()}


def batches(messages: Iterable[Outgoing]) -> Iterator[list[Outgoing]]:
    """Yield messages in groups that fit into one call: at most ten, and 1 MiB in all."""
    batch: list[Outgoing] = []
    size = 0
    for message in messages:
        if batch and (len(batch) == MAX_BATCH_ENTRIES or size + message.size_bytes > MAX_MESSAGE_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += message.size_bytes
    if batch:
        yield batch


def _pointer(message: Outgoing, email: ArchivedEmail, store_payload: Callable[[str, bytes], str]) -> Outgoing:
    """Store a body, and return the message that points to it: the claim check of pillarbox.payload."""
    payload = message.body.encode()
    digest = hashlib.sha256(payload)
    dated = message.attributes.get("message_id") or message_id_at(email.received_at, digest.digest())
    key = payload_key(PAYLOAD_PREFIX, dated, digest.hexdigest())
    body = Pointer(store_payload(key, payload), key, len(payload)).body()
    return Outgoing(message.message_id, body, message.attributes, {SIZE_ATTRIBUTE: str(len(payload))})
