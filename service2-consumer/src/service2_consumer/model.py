"""The forms of a message on its way to S3: InFlightMessage, Record, Upload. A Download reads one from S3 first."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from pillarbox.object_key import conflict_prefix
from pillarbox.probe import PROBE_PREFIX
from pillarbox.tracing import UNTRACED, Span


class Outcome(Enum):
    """How an object came to be stored."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


@dataclass(slots=True)
class InFlightMessage:
    """A message received from SQS and not yet deleted or released; `receipt` identifies this receive.

    `trace_header` is the AWSTraceHeader or empty. `outstanding` is the number of its records that are not stored yet.
    Admission sets the id of the trace, empty if there is none, and the span of the work on the message. The last three
    fields are set by InFlightMessages; their seconds come from a monotonic clock.
    """

    sqs_message_id: str
    receipt: str
    body: str
    attributes: Mapping[str, str]
    sent_at: datetime
    receive_count: int
    trace_header: str = ""
    outstanding: int = 1
    trace_id: str = ""
    span: Span = UNTRACED
    message_id: str = ""
    received_seconds: float = 0.0
    hidden_until_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object read from S3; `metadata` is that of its writer, with names in lower case; `etag` has no quotes."""

    content: bytes
    last_modified: datetime
    etag: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Record:
    """The content to store for one message; `timestamp` dates it, `sha256` is the digest of its e-mail."""

    message_id: str
    timestamp: datetime
    sha256: str
    key: str
    body: bytes
    content_type: str

    @property
    def is_probe(self) -> bool:
        """Return whether it is the e-mail of a probe, which never shares an object with a customer's."""
        return self.key.startswith(PROBE_PREFIX)

    @property
    def conflict_key(self) -> str:
        """Return the key to use when another e-mail is stored under `key`."""
        return f"{conflict_prefix(self.message_id, self.timestamp)}{self.sha256}.json"


class PoisonError(ValueError):
    """A message that can never be stored: `reason` is a short stable code; the text never quotes the message."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Reading:
    """What a message holds: records to store, reasons to store nothing, and why a part can never be stored."""

    records: Sequence[Record] = ()
    skipped: Sequence[str] = ()
    poison: PoisonError | None = None


@dataclass(frozen=True, slots=True)
class Download:
    """A message whose e-mails lie in S3; `read` fetches and reads them, `size_bytes` is their size in S3.

    `read` raises StoreError if S3 fails.
    """

    key: str
    size_bytes: int
    messages: Sequence[InFlightMessage]
    read: Callable[[datetime], Reading]

    @property
    def message_ids(self) -> list[str]:
        """Return the id of the message."""
        return [message.message_id for message in self.messages]

    @property
    def held_bytes(self) -> int:
        """Return the memory that it uses while it waits: nothing is read yet."""
        return 0


@dataclass(frozen=True, slots=True)
class Upload:
    """An object to write once, and the messages of its records, one a record, to delete from SQS in the end.

    `digest` distinguishes two contents under one key; the second is written to `conflict_key`.
    """

    key: str
    body: bytes
    content_type: str
    digest_name: str
    digest: str
    conflict_key: str | None = None
    content_encoding: str | None = None
    messages: Sequence[InFlightMessage] = ()
    message_ids: Sequence[str] = ()

    @property
    def is_probe(self) -> bool:
        """Return whether it holds the e-mail of a probe."""
        return self.key.startswith(PROBE_PREFIX)

    @property
    def held_bytes(self) -> int:
        """Return the memory that it uses while it waits."""
        return len(self.body)


Transfer = Upload | Download
