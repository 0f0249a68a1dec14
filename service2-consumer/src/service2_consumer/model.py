"""The forms of a message on its way to S3: InFlightMessage, Record, Upload."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum


class Outcome(Enum):
    """How an object came to be stored."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


@dataclass(slots=True)
class InFlightMessage:
    """A message received from SQS and not yet deleted or released; `receipt` identifies this receive.

    InFlightMessages sets the last three fields; their seconds come from a monotonic clock.
    """

    sqs_message_id: str
    receipt: str
    body: str
    attributes: Mapping[str, str]
    sent_at: datetime
    receive_count: int
    message_id: str = ""
    received_seconds: float = 0.0
    hidden_until_seconds: float = 0.0


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
    def conflict_key(self) -> str:
        """Return the key to use when another e-mail is stored under `key`."""
        return f"conflicts/{self.timestamp:%Y/%m/%d}/{self.message_id}/{self.sha256}.json"


@dataclass(frozen=True, slots=True)
class Upload:
    """An object to write once, and the messages to delete from SQS once it is stored.

    `digest` distinguishes two contents under one key; the second is written to `conflict_key`.
    """

    key: str
    body: bytes
    content_type: str
    digest_name: str
    digest: str
    conflict_key: str | None = None
    messages: Sequence[InFlightMessage] = ()

    @property
    def message_ids(self) -> list[str]:
        """Return the ids of the messages."""
        return [message.message_id for message in self.messages]
