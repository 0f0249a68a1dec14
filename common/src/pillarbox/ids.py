"""Message ids: UUIDv7 (RFC 9562, section 5.7), whose first 48 bits are a Unix time in milliseconds."""

import re
import uuid
from datetime import UTC, datetime

import uuid_utils

_TEXT = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_LATEST_MS = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp() * 1000)  # the latest time that datetime supports


def new_message_id() -> str:
    """Return a new id, in canonical lower-case text, with the current time."""
    return str(uuid_utils.uuid7())


def parse_message_id(text: str) -> str:
    """Return the canonical (lower-case) form of a UUIDv7 in its 36-character text form.

    Raise ValueError for anything else, other UUID versions and the braces and URN forms included.
    """
    canonical = text.lower() if text.isascii() else ""
    if not _TEXT.fullmatch(canonical) or _milliseconds(canonical) >= _LATEST_MS:
        raise ValueError("not a UUIDv7 in its 36-character form (RFC 9562)")
    return canonical


def time_of(message_id: str) -> datetime:
    """Return the time (UTC, milliseconds) of a canonical UUIDv7."""
    milliseconds = _milliseconds(message_id)
    seconds, rest = divmod(milliseconds, 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1000)


def message_id_at(timestamp: datetime, tail: bytes) -> str:
    """Return the UUIDv7 of a time whose 74 free bits come from `tail` (at least 10 bytes) instead of random bits."""
    milliseconds = int(timestamp.timestamp() * 1000)
    bits = int.from_bytes(tail[:10], "big")
    rand_a, rand_b = bits >> 68, bits & ((1 << 62) - 1)
    return str(uuid.UUID(int=(milliseconds << 80) | (7 << 76) | (rand_a << 64) | (0b10 << 62) | rand_b))


def _milliseconds(canonical: str) -> int:
    return int(canonical[:8] + canonical[9:13], 16)
