"""New files that only their owner can read, for content and for tokens."""

import os
from pathlib import Path
from typing import TextIO

from pillarbox_ops.errors import OpsError


def create(path: Path) -> TextIO:
    """Return a new file of mode 600, open for writing UTF-8. Raise OpsError if it exists or cannot be made."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise OpsError(f"{path} exists already: name a new file") from None
    except OSError as exc:
        raise OpsError(f"{path} cannot be made: {exc.strerror}") from None
    return os.fdopen(descriptor, "w", encoding="utf-8")
