"""Writes archived e-mails as JSON lines, as an mbox, or as one .eml file each."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

from pillarbox import strict_json
from pillarbox_ops.eml import eml, mbox_entry
from pillarbox_ops.errors import ExitCode, OpsError
from pillarbox_ops.records import ArchivedEmail

Form: TypeAlias = Literal["jsonl", "mbox", "eml"]

_SAFE_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,99}")


def json_line(email: ArchivedEmail) -> bytes:
    """Return the record as one line of JSON: every value as it was stored."""
    return strict_json.dumps(dict(email.record)) + b"\n"


STREAMS: dict[str, Callable[[ArchivedEmail], bytes]] = {"jsonl": json_line, "mbox": mbox_entry}


def export_stream(emails: Iterable[ArchivedEmail], form: str, stream: BinaryIO) -> int:
    """Write e-mails one after the other in a form of STREAMS; return their number."""
    number = 0
    for number, email in enumerate(emails, 1):  # noqa: B007  counts a stream
        stream.write(STREAMS[form](email))
    stream.flush()
    return number


def export_file(emails: Iterable[ArchivedEmail], form: str, path: Path) -> int:
    """Write e-mails into a new file, which appears when it is complete; return their number. Raise OpsError."""
    if path.exists():
        raise OpsError(f"{path} is there already; name another file", ExitCode.USAGE)
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as stream:
            number = export_stream(emails, form, stream)
        if number:
            part.rename(path)
        return number
    except OSError as exc:
        raise OpsError(f"{part} cannot be written: {exc.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


def export_folder(emails: Iterable[ArchivedEmail], folder: Path) -> int:
    """Write each e-mail as ID.eml into a folder; return their number. A file of the same e-mail is replaced.

    Raise OpsError.
    """
    number = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, email in enumerate(emails, 1):  # noqa: B007  counts a stream
            path = folder / f"{file_name(email.message_id)}.eml"
            part = path.with_suffix(".part")
            part.write_bytes(eml(email))
            part.replace(path)
    except OSError as exc:
        raise OpsError(f"{folder} cannot be written to: {exc.strerror}") from None
    return number


def file_name(message_id: str) -> str:
    """Return an id as a file name: itself if it is plain, else its SHA-256, for a foreign producer chose it."""
    return message_id if _SAFE_NAME.fullmatch(message_id) else hashlib.sha256(message_id.encode()).hexdigest()
