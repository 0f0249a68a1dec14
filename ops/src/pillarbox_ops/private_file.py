"""New files that only their owner can read, for content and for tokens."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

from pillarbox_ops.errors import ExitCode, OpsError


def create(path: Path) -> TextIO:
    """Return a new file of mode 600, open for writing UTF-8. Raise OpsError if it exists or cannot be made."""
    return os.fdopen(_opened(path, "name a new file"), "w", encoding="utf-8")


@contextmanager
def whole(path: Path, *, replace: bool = False) -> Iterator[BinaryIO]:
    """Yield a file of mode 600. Its name is `path` with `.part` until the block ends, then `path`.

    If the block fails or writes nothing, nothing is left of it. Raise OpsError if it cannot be written, or if there is
    a file of either name; with `replace` only one with `.part` matters.
    """
    if not replace and os.path.lexists(path):
        raise OpsError(f"{path} exists already: name a new file", ExitCode.USAGE)
    part = path.with_name(f"{path.name}.part")
    descriptor = _opened(part, "remove it if no other command is writing it, or name another file")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(descriptor)
            size = stream.tell()
        if size:
            part.replace(path)
        else:
            part.unlink()
    except BaseException as exc:
        part.unlink(missing_ok=True)
        if isinstance(exc, OSError):
            raise OpsError(f"{path} cannot be written: {exc.strerror or type(exc).__name__}") from None
        raise


def _opened(path: Path, advice: str) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise OpsError(f"{path} exists already: {advice}") from None
    except OSError as exc:
        raise OpsError(f"{path} cannot be made: {exc.strerror}") from None
