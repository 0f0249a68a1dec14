"""Writes archived e-mails as JSON lines, as an mbox, or as one .eml file each."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

from pillarbox import strict_json
from pillarbox_ops import private_file
from pillarbox_ops.eml import eml, mbox_entry
from pillarbox_ops.errors import OpsError
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
    """Write e-mails into a new file of mode 600, which appears when it is complete; return their number.

    Raise OpsError.
    """
    with private_file.whole(path) as stream:
        return export_stream(emails, form, stream)


def export_folder(emails: Iterable[ArchivedEmail], folder: Path) -> int:
    """Write each e-mail as ID.eml into a folder; return their number. A file of the same e-mail is replaced.

    A new folder has mode 700, each file 600. Raise OpsError.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise OpsError(f"{folder} cannot be written to: {exc.strerror}") from None
    number = 0
    for number, email in enumerate(emails, 1):  # noqa: B007  counts a stream
        with private_file.whole(folder / f"{file_name(email.message_id)}.eml", replace=True) as stream:
            stream.write(eml(email))
    return number


def file_name(message_id: str) -> str:
    """Return an id as a file name: itself if it is plain, else its SHA-256, for a foreign producer chose it."""
    return message_id if _SAFE_NAME.fullmatch(message_id) else hashlib.sha256(message_id.encode()).hexdigest()
