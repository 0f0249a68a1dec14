"""E-mails of tests in a pipeline's archive."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pillarbox.ids import message_id_at
from pillarbox_ops.records import ArchivedEmail

from .pipelines import Pipeline

NOON = datetime(2026, 11, 28, 12, 30, tzinfo=UTC)


def id_at(minutes: float, tail: int = 0) -> str:
    """Return the id of a time so many minutes after NOON."""
    return message_id_at(NOON + timedelta(minutes=minutes), tail.to_bytes(10, "big"))


def archived(pipeline: Pipeline, minutes: float = 0, tail: int = 0, **fields: Any) -> str:
    """Archive an e-mail under the default key, and return its id; the fields replace those of an example."""
    message_id = id_at(minutes, tail)
    pipeline.archive(example(**fields), message_id, f"messages/{message_day(minutes)}/{message_id}.json")
    return message_id


def message_day(minutes: float) -> str:
    """Return the folder of the day of such an e-mail."""
    return f"{NOON + timedelta(minutes=minutes):%Y/%m/%d}"


def example(**fields: Any) -> dict[str, Any]:
    """Return an e-mail, with other fields where they are given."""
    return {
        "email_subject": "A subject",
        "email_sender": "Jane Doe <jane.doe@example.com>",
        "email_timestream": "1693561101",
        "email_content": "The content",
    } | fields


def email_of(record: dict[str, Any] | None = None, /, **fields: Any) -> ArchivedEmail:
    """Return an archived e-mail without an archive; `record` replaces parts of its record."""
    document = {"message_id": id_at(0), "email_data": example(**fields), **(record or {})}
    return ArchivedEmail(document["message_id"], f"messages/{id_at(0)}.json", 100, NOON, document)
