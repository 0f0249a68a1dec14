"""The `traceparent` of W3C Trace Context (https://www.w3.org/TR/trace-context/#traceparent-header)."""

import re
import secrets

# Version ff is forbidden; a version above 00 may have more fields after the flags.
_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_MAX_LENGTH = 256


def new_traceparent() -> str:
    """Start a new trace: random trace and span ids, sampled flag unset."""
    digits = secrets.token_hex(24)  # one system call for both
    return f"00-{digits[:32]}-{digits[32:]}-00"


def parse(text: str) -> str | None:
    """Return a valid traceparent in version 00, or None for anything else."""
    found = _TRACEPARENT.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    if not found or (found[1] == "00" and found[5]):
        return None
    return f"00-{found[2]}-{found[3]}-{found[4]}"


def trace_id(traceparent: str) -> str:
    """Return the 32 hex digits that all spans of a trace share."""
    return traceparent[3:35]
