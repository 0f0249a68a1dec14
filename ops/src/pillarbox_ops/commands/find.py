"""`pillarbox find`: archived e-mails by their ids or by conditions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from pillarbox_ops.errors import ExitCode
from pillarbox_ops.options import with_app, with_selection
from pillarbox_ops.output import Column
from pillarbox_ops.records import ArchivedEmail
from pillarbox_ops.selection import Reading, Selection

if TYPE_CHECKING:
    from pillarbox_ops.app import App

COLUMNS = (
    Column("message_id", "ID", whole=True),
    Column("received_at", "RECEIVED"),
    Column("sender", "SENDER"),
    Column("subject", "SUBJECT"),
    Column("size", "SIZE", right=True),
    Column("key", "KEY"),
)


@click.command()
@with_app
@with_selection
def find(app: App, selection: Selection) -> ExitCode:
    """Find archived e-mails.

    With ids each is looked up at once, for an id tells where its e-mail lies. Otherwise the objects of the time span
    are read, and the e-mails that meet all conditions appear as they are found. Texts are compared without regard to
    case.
    """
    reading = Reading(app.archive, app.output, selection, datetime.now(UTC))
    return reading.exit_code(app.output.rows(COLUMNS, map(row, reading.emails())))


def row(email: ArchivedEmail) -> dict[str, Any]:
    """Return an e-mail as a row: no content."""
    return {
        "message_id": email.message_id,
        "received_at": email.received_at,
        "sender": email.sender,
        "subject": email.subject,
        "size": email.size,
        "key": email.key,
    }
