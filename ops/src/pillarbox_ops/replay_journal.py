"""The journal of a replay: what was sent, kept in a file, so that a broken replay goes on where it was."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from pillarbox_ops.errors import ExitCode, OpsError


class Journal:
    """The ids that a replay has sent, one a line, so that a broken one can be resumed; without a path none is kept.

    A kill between a send and its line repeats ten e-mails at the most. An archive stores none of them twice, except
    that with OBJECT_LAYOUT=batch a copy can be stored a second time in another batch.
    """

    def __init__(self, path: Path | None, queue_url: str) -> None:
        """Raise OpsError if the file cannot be used or is the journal of another queue."""
        self._path = path
        self._title = f"# pillarbox replay to {queue_url}"
        self._sent: set[str] = set()
        if path is None:
            return
        try:
            lines = path.read_text().splitlines() if path.exists() else []
        except (OSError, UnicodeDecodeError):
            raise OpsError(f"{path} cannot be read as a journal", ExitCode.USAGE) from None
        if lines and lines[0] != self._title:
            raise OpsError(f"{path} is not the journal of a replay to {queue_url}", ExitCode.USAGE)
        self._sent = set(lines[1:])

    def __contains__(self, message_id: str) -> bool:
        return message_id in self._sent

    def __enter__(self) -> Self:
        """Open the file, so that one that cannot be written is known before anything is sent. Raise OpsError."""
        if self._path:
            try:
                self._is_new = not self._path.exists()
                self._file = self._path.open("a")
            except OSError as exc:
                raise OpsError(f"{self._path} cannot be written as a journal: {exc.strerror}", ExitCode.USAGE) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._path:
            self._file.close()
            if self._is_new and not self._path.stat().st_size:
                self._path.unlink()  # nothing was sent

    def add(self, message_ids: Sequence[str]) -> None:
        """Note ids as sent, on the disk."""
        self._sent.update(message_ids)
        if self._path and message_ids:
            self._write(message_ids if self._path.stat().st_size else [self._title, *message_ids])

    def _write(self, lines: Sequence[str]) -> None:
        self._file.write("".join(f"{line}\n" for line in lines))
        self._file.flush()
        os.fsync(self._file.fileno())
