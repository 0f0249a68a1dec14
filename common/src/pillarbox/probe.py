"""E-mails of the probe that watches a running pipeline: how they are told from customers', and where they lie. Pure.

Such an e-mail has two marks: an id that ends in PROBE_NODE, which tells the key without the e-mail, and the reserved
sender. It goes the way of every other one, but its record lies below a prefix of its own, which a lifecycle rule
empties, and it is counted apart.
"""

import secrets
from datetime import UTC, datetime

from pillarbox.ids import message_id_at, time_of

PROBE_SENDER = "probe@pillarbox.invalid"  # RFC 2606, section 2: no address ends in .invalid
PROBE_PREFIX = "health/probe/"
PROBE_NODE = "70726f626500"  # `probe` in ASCII, in the place of the last 48 random bits


def new_probe_id() -> str:
    """Return a new message id of a probe; 26 bits of it are random."""
    return message_id_at(datetime.now(UTC), secrets.token_bytes(10))[:-12] + PROBE_NODE


def is_probe_id(message_id: str) -> bool:
    """Return whether a canonical message id is one of a probe."""
    return message_id.endswith(PROBE_NODE)


def is_probe(message_id: str, sender: object) -> bool:
    """Return whether an e-mail with this id and sender is one of a probe."""
    return is_probe_id(message_id) and sender == PROBE_SENDER


def probe_key(message_id: str) -> str:
    """Return the key of a probe's record, which its id alone tells."""
    return f"{PROBE_PREFIX}{time_of(message_id):%Y/%m/%d}/{message_id}.json"
