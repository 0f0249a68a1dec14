"""All that is known of one archived e-mail, without its content: fields, metadata, attachments, where it lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pillarbox_ops.archive import Archive
from pillarbox_ops.attachments import Attachment, attachments_of
from pillarbox_ops.errors import explained
from pillarbox_ops.layout import BATCH_SUFFIX
from pillarbox_ops.records import ArchivedEmail, StoredObject, parse, record_lines

_FIELDS = ("email_subject", "email_sender", "email_timestream", "email_content", "attachments")


@dataclass(frozen=True, slots=True)
class Details:
    """An e-mail, the other objects that hold its id, and the objects of other e-mails under the same id."""

    email: ArchivedEmail
    copies: Sequence[str]
    conflicts: Sequence[str]
    sha256: str | None
    problems: Sequence[str]

    def document(self, bucket: str) -> dict[str, Any]:
        """Return the details as one JSON object. Fields beyond the four are named with their kind and size."""
        email = self.email
        return {
            "message_id": email.message_id,
            "subject": email.subject,
            "sender": email.sender,
            "sent": email.fields.get("email_timestream"),
            "received_at": email.received_at,
            "processed_at": email.record.get("processed_at"),
            "trace_id": email.metadata.get("trace_id"),
            "content_characters": len(email.content),
            "other_fields": {name: _kind(value) for name, value in email.fields.items() if name not in _FIELDS},
            "metadata": dict(email.metadata),
            "attachments": [_listed(attachment) for attachment in attachments_of(email)],
            "object": f"s3://{bucket}/{email.key}",
            "stored_at": email.stored_at,
            "record_bytes": email.size,
            "email_sha256": self.sha256,
            "copies": list(self.copies),
            "conflicts": list(self.conflicts),
        }


def details_of(archive: Archive, message_id: str) -> Details | None:
    """Return the details of an id; None if it is not archived. Raise OpsError if its object cannot be read."""
    found = list(archive.copies(message_id))
    if not found:
        return None
    email = found[0]
    problems: list[str] = []
    conflicts: list[str] = []
    sha256 = None
    try:
        conflicts = [other.key for other in archive.conflicts(message_id)]
        if not email.key.endswith(BATCH_SUFFIX):
            sha256 = archive.digest(email.key)
    except Exception as exc:
        text = explained(exc)
        if text is None:
            raise
        problems.append(text)
    copies = [other.key for other in found[1:] if other.key != email.key]
    return Details(email, copies, conflicts, sha256, problems)


def raw_record(archive: Archive, email: ArchivedEmail) -> bytes:
    """Return an e-mail's record byte by byte as it was stored, uncompressed. Raise OpsError."""
    found = StoredObject(email.key, email.size, email.stored_at)
    raw = archive.raw(email.key)
    lines = zip(record_lines(found, raw), parse(found, raw), strict=True)
    return next(line for line, record in lines if record.message_id == email.message_id)


def _listed(attachment: Attachment) -> dict[str, Any]:
    return {
        "file_name": attachment.file_name,
        "content_type": attachment.content_type,
        "size_bytes": attachment.size_bytes,
        "sha256": attachment.sha256 or None,
        "embedded": attachment.content is not None,
    }


def _kind(value: object) -> str:
    """Return what a field holds without its value, which may be content."""
    match value:
        case str():
            return f"text, {len(value)} characters"
        case bool() | None:
            return "true or false" if value is not None else "null"
        case int() | float():
            return "number"
        case list() | Mapping():
            return f"{'list' if isinstance(value, list) else 'object'}, {len(value)} entries"
    return type(value).__name__
