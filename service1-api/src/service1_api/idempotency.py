"""Idempotency-Key: a client's own UUIDv7 becomes the message id, so that a repeated request gives one object."""

import hashlib
from datetime import datetime, timedelta

from pillarbox.ids import message_id_at, new_message_id, parse_message_id, time_of
from service1_api.problems import Problem

OLDEST = timedelta(days=14)  # what SQS keeps a message for at most
NEWEST = timedelta(minutes=5)  # clocks differ


def message_ids(key: str | None, now: datetime, count: int | None) -> list[str]:
    """Give the message id of a single e-mail (`count` None), or those of a batch's items, in order.

    A batch's ids carry the key's time and derive from the key and the item's position. Raises Problem.
    """
    accepted = None if key is None else _accepted(key, now)
    if accepted is None:
        return [new_message_id() for _ in range(1 if count is None else count)]
    if count is None:
        return [accepted]
    moment = time_of(accepted)
    return [message_id_at(moment, hashlib.sha256(f"{accepted}/{place}".encode()).digest()) for place in range(count)]


def _accepted(key: str, now: datetime) -> str:
    try:
        # In quotes: draft-ietf-httpapi-idempotency-key-header makes it a string of RFC 8941.
        message_id = parse_message_id(key[1:-1] if key[:1] == key[-1:] == '"' else key)
    except ValueError:
        raise Problem("invalid_idempotency_key", "must be a UUIDv7 in its 36-character form (RFC 9562)") from None
    if not now - OLDEST <= time_of(message_id) <= now + NEWEST:
        raise Problem("invalid_idempotency_key", "its time must lie from 14 days ago to 5 minutes ahead")
    return message_id
