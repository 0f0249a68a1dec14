"""The attachments of a record: those that service2-consumer lists of a file, and those that a client embedded.

A file's attachments stay in the file; a client may embed any in a field `attachments` of the e-mail. Pure: no I/O.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pillarbox_ops.records import ArchivedEmail

_NAMES = ("file_name", "filename", "name")
_TYPES = ("content_type", "mime_type", "type")
_SIZES = ("size_bytes", "size")
_CONTENTS = ("content", "data", "body", "base64")


@dataclass(frozen=True, slots=True)
class Attachment:
    """An attachment; what is not known is empty. Its repr never shows the content."""

    file_name: str
    content_type: str
    size_bytes: int | None
    sha256: str
    content: bytes | None = None

    def __repr__(self) -> str:
        return f"Attachment(content_type={self.content_type!r}, size_bytes={self.size_bytes})"


def attachments_of(email: ArchivedEmail) -> list[Attachment]:
    """Return an e-mail's attachments."""
    embedded = email.fields.get("attachments")
    entries = [*email.attachments, *(embedded if isinstance(embedded, list) else ())]
    return [_attachment(entry) for entry in entries if isinstance(entry, Mapping)]


def _attachment(entry: Mapping[str, Any]) -> Attachment:
    content = _content(_first(entry, _CONTENTS))
    size = _first(entry, _SIZES)
    known = size if isinstance(size, int) and not isinstance(size, bool) else None
    return Attachment(
        file_name=str(_first(entry, _NAMES) or ""),
        content_type=str(_first(entry, _TYPES) or ""),
        size_bytes=known if content is None else len(content),
        sha256=str(entry.get("sha256") or ""),
        content=content,
    )


def _first(entry: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((entry[name] for name in names if entry.get(name) is not None), None)


def _content(value: object) -> bytes | None:
    """Return what a string embeds: bytes in base64, else its text."""
    if not isinstance(value, str):
        return None
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        return value.encode()
