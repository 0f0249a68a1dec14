"""Idempotency-Key: the client's UUIDv7 becomes the message id, so that a repeated request creates one object."""

import hashlib
from datetime import datetime, timedelta

from pillarbox.ids import message_id_at, new_message_id, parse_message_id, time_of
from service1_api.problems import Problem

OLDEST = timedelta(days=14)  # the longest retention of SQS
NEWEST = timedelta(minutes=5)  # clocks differ


def message_ids(key: str | None, now: datetime, count: int | None) -> list[str]:
    """Return the message id of a single e-mail (`count` None), or those of a batch's items, in order.

    A batch's ids carry the key's time and derive from the key and the item's position. Raise Problem.
    """
    accepted = None if key is None else _accepted(key, now)
    if accepted is None:
        return [new_message_id() for _ in range(1 if count is None else count)]
    if count is None:
        return [accepted]
    timestamp = time_of(accepted)
    digests = (hashlib.sha256(f"{accepted}/{index}".encode()).digest() for index in range(count))
    return [message_id_at(timestamp, digest) for digest in digests]


def _accepted(key: str, now: datetime) -> str:
    try:
        # With quotes: draft-ietf-httpapi-idempotency-key-header defines it as a string of RFC 8941.
        message_id = parse_message_id(key[1:-1] if key[:1] == key[-1:] == '"' else key)
    except ValueError:
        raise Problem("invalid_idempotency_key", "must be a UUIDv7 in its 36-character form (RFC 9562)") from None
    if not now - OLDEST <= time_of(message_id) <= now + NEWEST:
        raise Problem("invalid_idempotency_key", "its time must be at most 14 days ago and at most 5 minutes ahead")
    return message_id
