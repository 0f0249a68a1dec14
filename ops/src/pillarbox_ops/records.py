"""Records of the archive as they were stored: one JSON document, or one a line in a batch. Pure: no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pillarbox import strict_json
from pillarbox.gzip_body import gunzip
from pillarbox.strict_json import JsonError
from pillarbox_ops.layout import BATCH_SUFFIX, id_in, time_in

MAX_RECORD_BYTES = 512 * 1024 * 1024  # inflated; far above what the consumer writes
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as the bucket lists it: size in bytes as stored, and the time of its last write (UTC)."""

    key: str
    size: int
    modified_at: datetime

    @property
    def timestamp(self) -> datetime:
        """Return the time of the id in the key, else of the write."""
        return time_in(self.key) or self.modified_at


@dataclass(frozen=True, slots=True)
class ArchivedEmail:
    """One record and where it lies. What the record lacks, such as a sender where nothing is validated, is empty.

    `size` counts the record's bytes, uncompressed. `placed_at` is the time of the write moved into the date of the key.
    Its repr never shows the e-mail.
    """

    message_id: str
    key: str
    size: int
    stored_at: datetime
    record: Mapping[str, Any]
    placed_at: datetime | None = None

    def __repr__(self) -> str:
        return f"ArchivedEmail(message_id={self.message_id!r}, key={self.key!r}, size={self.size})"

    @property
    def fields(self) -> Mapping[str, Any]:
        """Return the e-mail's fields."""
        found = self.record.get("email_data")
        return found if isinstance(found, dict) else {}

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Return what the pipeline noted about the e-mail."""
        found = self.record.get("metadata")
        return found if isinstance(found, dict) else {}

    @property
    def attachments(self) -> list[Mapping[str, Any]]:
        """Return the attachments of an e-mail that came as a file."""
        found = self.record.get("attachments")
        return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []

    @property
    def sender(self) -> str:
        """Return the sender."""
        return str(self.fields.get("email_sender", ""))

    @property
    def subject(self) -> str:
        """Return the subject."""
        return str(self.fields.get("email_subject", ""))

    @property
    def content(self) -> str:
        """Return the text; the body as received if nothing was validated."""
        return str(self.fields.get("email_content", self.record.get("body", "")))

    @property
    def received_at(self) -> datetime:
        """Return when the pipeline received it: by its record, else by its id, else by its object's place."""
        try:
            return datetime.fromisoformat(str(self.metadata.get("received_at"))).astimezone(UTC)
        except ValueError:
            return time_in(self.message_id) or self.placed_at or self.stored_at


def parse(found: StoredObject, raw: bytes) -> list[ArchivedEmail]:
    """Return the records of an object. Raise ValueError, whose text quotes nothing, if it holds none.

    An object is inflated by its first two bytes, not by its name: some stores inflate what has a Content-Encoding. What
    is no record but has an id in its key is a body that was stored unchanged (MESSAGE_VALIDATION=none). Such a body may
    be JSON with a `message_id` of its own, so the other parts of a record are required too.
    """
    lines = record_lines(found, raw)
    if found.key.endswith(BATCH_SUFFIX):
        return [_email(found, line) for line in lines]
    (text,) = lines
    try:
        email = _email(found, text)
        if "processed_at" not in email.record or not ("email_data" in email.record or "body" in email.record):
            raise ValueError("is not a record: no processed_at with email_data or body")
        return [email]
    except ValueError:
        message_id = id_in(found.key)
        if not message_id:
            raise
        body = {"message_id": message_id, "body": text.decode(errors="replace")}
        return [ArchivedEmail(message_id, found.key, len(text), found.modified_at, body)]


def record_lines(found: StoredObject, raw: bytes) -> list[bytes]:
    """Return an object's records as bytes, uncompressed. Raise ValueError, whose text quotes nothing."""
    text = gunzip(raw, MAX_RECORD_BYTES) if raw.startswith(_GZIP_MAGIC) else raw
    return [line for line in text.split(b"\n") if line] if found.key.endswith(BATCH_SUFFIX) else [text]


def _email(found: StoredObject, text: bytes) -> ArchivedEmail:
    try:
        record = strict_json.loads(text)
    except JsonError as exc:
        raise ValueError(f"is not a record: {exc}") from None
    if not isinstance(record, dict) or not isinstance(record.get("message_id"), str):
        raise ValueError("is not a record: no object with a message_id")
    return ArchivedEmail(str(record["message_id"]), found.key, len(text), found.modified_at, record)
