"""Message ids: UUIDv7 (RFC 9562, section 5.7), whose first 48 bits are a Unix time in milliseconds."""

import hashlib
import re
import uuid
from datetime import UTC, datetime, timedelta

import uuid_utils

MAX_RETENTION = timedelta(days=14)  # of a message in SQS; an older key cannot be of a message under way

_MAX_CLOCK_DIFFERENCE = timedelta(minutes=5)
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


def parse_idempotency_key(key: str, now: datetime) -> str:
    """Return the message id that a client sends as Idempotency-Key: a UUIDv7, in quotes or without them.

    Raise ValueError if it is anything else, or if its time is not near `now`. The quotes follow
    draft-ietf-httpapi-idempotency-key-header, which defines the key as a string of RFC 8941.
    """
    try:
        message_id = parse_message_id(key[1:-1] if key[:1] == key[-1:] == '"' else key)
    except ValueError:
        raise ValueError("must be a UUIDv7 in its 36-character form (RFC 9562)") from None
    if not now - MAX_RETENTION <= time_of(message_id) <= now + _MAX_CLOCK_DIFFERENCE:
        raise ValueError("its time must be at most 14 days ago and at most 5 minutes ahead")
    return message_id


def derived_ids(message_id: str, count: int) -> list[str]:
    """Return the ids of the items of a batch, in order: they have the time of `message_id` and derive from it."""
    timestamp = time_of(message_id)
    digests = (hashlib.sha256(f"{message_id}/{index}".encode()).digest() for index in range(count))
    return [message_id_at(timestamp, digest) for digest in digests]


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
