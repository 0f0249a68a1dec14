"""Why a message is a dead letter, computed again from the message alone. Pure: no I/O.

The words are those of `pillarbox_consumer_invalid_total{reason}`. What only S3 can tell, such as a payload that is
missing, is not seen here: such a message is `redrivable`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pillarbox import strict_json
from pillarbox.message import field_problems
from pillarbox.payload import pointer_in
from pillarbox.s3_events import EventError, ObjectCreated, parse_events
from pillarbox.strict_json import JsonError

REDRIVABLE = "redrivable"
OF_EMAILS = (
    REDRIVABLE,
    "invalid_json",
    "too_deep",
    "number_precision",
    "not_an_email",
    "not_a_pointer",
    "foreign_payload",
)
OF_FILES = (REDRIVABLE, "not_an_event", "foreign_bucket")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The reason, and whom or what the message is about: an e-mail's sender, or a file as s3://bucket/key."""

    reason: str
    about: str = ""

    def __repr__(self) -> str:
        return f"Verdict(reason={self.reason!r})"


def of_email(body: str, attributes: Mapping[str, str], payload_bucket: str = "") -> Verdict:
    """Return the verdict on a message of the queue of e-mails.

    A pointer is an e-mail; with a payload bucket given, one that leads to another bucket is `foreign_payload`.
    """
    try:
        pointer = pointer_in(body, attributes)
    except ValueError:
        return Verdict("not_a_pointer")
    if pointer:
        foreign = payload_bucket and pointer.bucket != payload_bucket
        return Verdict("foreign_payload" if foreign else REDRIVABLE)
    try:
        email = strict_json.loads(body.encode())
    except UnicodeEncodeError:
        return Verdict("invalid_json")
    except JsonError as exc:
        return Verdict(exc.reason)
    sender = email.get("email_sender") if isinstance(email, dict) else None
    reason = "not_an_email" if field_problems(email) else REDRIVABLE
    return Verdict(reason, sender if isinstance(sender, str) else "")


def of_file(body: str, inbox_bucket: str = "") -> Verdict:
    """Return the verdict on a message of the queue of files; the first object that it names stands for it."""
    try:
        events = parse_events(body)
    except EventError:
        return Verdict("not_an_event")
    created = [event for event in events if isinstance(event, ObjectCreated)]
    about = f"s3://{created[0].bucket}/{created[0].key}" if created else ""
    foreign = inbox_bucket and any(event.bucket != inbox_bucket for event in created)
    return Verdict("foreign_bucket" if foreign else REDRIVABLE, about)
