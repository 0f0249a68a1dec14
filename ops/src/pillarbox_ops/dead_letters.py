"""Dead letters: what a dead-letter queue holds, which of it a command means, and the two queues of a pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from pillarbox.ids import parse_message_id
from pillarbox_ops import reasons
from pillarbox_ops.output import Column
from pillarbox_ops.reasons import Verdict

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

    from pillarbox_ops.app import App
    from pillarbox_ops.scan import Scan

HOLD_SECONDS = 60
_TRACE_HEADER = "AWSTraceHeader"  # the only system attribute that a sender sets

Attributes = Mapping[str, Mapping[str, Any]]
Judge = Callable[[str, Mapping[str, str]], Verdict]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message of a dead-letter queue. Its repr never shows the content.

    `attributes` are the message attributes as SQS gives them: a DataType and a StringValue or BinaryValue. `sent_at` is
    the first sending (UTC), `receives` counts those of both queues.
    """

    sqs_message_id: str
    body: str
    attributes: Attributes
    sent_at: datetime
    receives: int
    verdict: Verdict
    trace_header: str = ""

    def __repr__(self) -> str:
        return f"DeadLetter(sqs_message_id={self.sqs_message_id!r}, reason={self.reason!r})"

    @property
    def reason(self) -> str:
        """Return why it is here, a word of `reasons`."""
        return self.verdict.reason

    @property
    def message_id(self) -> str | None:
        """Return the id of its attribute; None if it has no valid one, as with foreign producers."""
        try:
            return parse_message_id(str(self.attributes.get("message_id", {}).get("StringValue", "")))
        except ValueError:
            return None

    def is_named(self, name: str) -> bool:
        """Return whether a text is its message id or its SQS id, without regard to case."""
        return name.lower() in (self.message_id, self.sqs_message_id.lower())

    @property
    def size(self) -> int:
        """Return its size in bytes as SQS counts it: the body and each attribute's name, type and value."""
        return len(self.body.encode(errors="surrogatepass")) + attributes_size(self.attributes)

    def row(self, now: datetime) -> dict[str, Any]:
        """Return what a table shows of it, without its content."""
        return {
            "message_id": self.message_id,
            "sqs_message_id": self.sqs_message_id,
            "sent_at": self.sent_at,
            "age_seconds": int((now - self.sent_at).total_seconds()),
            "receives": self.receives,
            "reason": self.reason,
            "about": self.verdict.about,
            "size": self.size,
        }


COLUMNS = (
    Column("message_id", "ID"),
    Column("sqs_message_id", "SQS ID"),
    Column("sent_at", "SENT"),
    Column("age", "AGE", right=True),  # added for a table
    Column("receives", "RECEIVES", right=True),
    Column("reason", "REASON"),
    Column("about", "SENDER OR OBJECT"),
    Column("size", "SIZE", right=True),
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Conditions that all must hold; an empty one accepts all. Of `ids` one must be the message's id or SQS id."""

    reasons: tuple[str, ...] = ()
    senders: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    sent_before: datetime | None = None

    def __bool__(self) -> bool:
        return bool(self.reasons or self.senders or self.ids or self.sent_before)

    def accepts(self, letter: DeadLetter) -> bool:
        """Return whether a message meets the conditions. Senders are compared in part and without regard to case."""
        if self.reasons and letter.reason not in self.reasons:
            return False
        about = letter.verdict.about.casefold()
        if self.senders and not any(sender.casefold() in about for sender in self.senders):
            return False
        if self.ids and not any(map(letter.is_named, self.ids)):
            return False
        return self.sent_before is None or letter.sent_at < self.sent_before


@dataclass(frozen=True, slots=True)
class DeadLetterQueue:
    """A dead-letter queue, the queue whose messages it takes, and how to judge one of them."""

    sqs: SQSClient
    url: str
    source_url: str
    judge: Judge

    @classmethod
    def of(cls, app: App, *, files: bool = False) -> DeadLetterQueue:
        """Return the dead-letter queue of e-mails, or that of files. Raise OpsError if its URL is not known."""
        target, sqs = app.target, app.clients.sqs
        if not files:
            judge = partial(reasons.of_email, payload_bucket=target.payload_bucket)
            return cls(sqs, target.need("dead_letter_queue_url"), target.queue_url, judge)
        inbox = target.inbox_bucket
        url = target.need("files_dead_letter_queue_url")
        return cls(sqs, url, target.files_queue_url, lambda body, _attributes: reasons.of_file(body, inbox))

    def count(self) -> int:
        """Return how many messages it holds, those that are hidden included, as SQS estimates it."""
        return sum(self._numbers())

    def hidden(self) -> int:
        """Return how many messages are hidden now, because somebody looks at them, as SQS estimates it."""
        return self._numbers()[1]

    def _numbers(self) -> tuple[int, int]:
        found = self.sqs.get_queue_attributes(
            QueueUrl=self.url,
            AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )["Attributes"]
        return int(found["ApproximateNumberOfMessages"]), int(found["ApproximateNumberOfMessagesNotVisible"])

    def scan(self, hold_seconds: int = HOLD_SECONDS) -> Scan:
        """Return a look through the queue: a context manager that gives each message once.

        Every look spends a receive of each message; in a dead-letter queue nothing counts them.
        """
        from pillarbox_ops.scan import Scan  # noqa: PLC0415  imports botocore

        return Scan(self.sqs, self.url, self.judge, hold_seconds=hold_seconds)


def letter_of(entry: MessageTypeDef, judge: Judge) -> DeadLetter:
    """Return the message of a reply of ReceiveMessage that asked for all attributes."""
    attributes: Any = entry.get("MessageAttributes", {})
    system: Mapping[str, str] = entry.get("Attributes", {})  # type: ignore[assignment]  # its keys are literals
    body = entry.get("Body", "")
    return DeadLetter(
        sqs_message_id=entry["MessageId"],
        body=body,
        attributes=attributes,
        sent_at=datetime.fromtimestamp(int(system.get("SentTimestamp", "0")) / 1000, UTC),
        receives=int(system.get("ApproximateReceiveCount", "0")),
        verdict=judge(body, strings(attributes)),
        trace_header=system.get(_TRACE_HEADER, ""),
    )


def strings(attributes: Attributes) -> dict[str, str]:
    """Return the attributes that have a text, as the consumer reads them."""
    return {name: str(value["StringValue"]) for name, value in attributes.items() if "StringValue" in value}


def entry_of(letter: DeadLetter, attributes: Attributes, number: int) -> dict[str, Any]:
    """Return an entry of SendMessageBatch with a message's body and the attributes given."""
    entry: dict[str, Any] = {"Id": str(number), "MessageBody": letter.body}
    if attributes:
        names = ("DataType", "StringValue", "BinaryValue")
        entry["MessageAttributes"] = {
            name: {field: value[field] for field in names if field in value} for name, value in attributes.items()
        }
    if letter.trace_header:
        entry["MessageSystemAttributes"] = {_TRACE_HEADER: {"DataType": "String", "StringValue": letter.trace_header}}
    return entry


def attributes_size(attributes: Attributes) -> int:
    """Return the bytes of attributes as SQS counts them: each one's name, type and value."""
    return sum(_size(name, value) for name, value in attributes.items())


def _size(name: str, value: Mapping[str, Any]) -> int:
    data = value.get("BinaryValue", b"") or str(value.get("StringValue", "")).encode(errors="surrogatepass")
    return len(name.encode()) + len(str(value.get("DataType", ""))) + len(data)
