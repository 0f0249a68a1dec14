"""`pillarbox show`: one archived e-mail, where it lies, and what else has its id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pillarbox_ops.archive import checked_id
from pillarbox_ops.details import details_of, raw_record
from pillarbox_ops.errors import ExitCode, OpsError
from pillarbox_ops.options import with_app
from pillarbox_ops.output import Column

if TYPE_CHECKING:
    from pillarbox_ops.app import App

_ATTACHMENTS = (
    Column("file_name", "ATTACHMENT"),
    Column("content_type", "TYPE"),
    Column("size_bytes", "SIZE", right=True),
    Column("sha256", "SHA-256"),
)


@click.command()
@with_app
@click.argument("message_id", metavar="ID")
@click.option("--content", is_flag=True, help="Print the text of the e-mail, and nothing else.")
@click.option("--raw", is_flag=True, help="Print the record byte by byte as it was stored, content included.")
def show(app: App, message_id: str, content: bool, raw: bool) -> ExitCode:
    """Show one archived e-mail without its content.

    `copies` are other objects that hold the same e-mail, as after a crash in batch layout; `conflicts` hold other
    e-mails that came under the same id.
    """
    if content and raw:
        raise click.UsageError("--content and --raw exclude each other")
    wanted = checked_id(message_id)
    if content or raw:
        email = app.archive.find(wanted)
        if email is None:
            raise _not_there(wanted)
        if content:
            app.output.text(email.content)
        else:
            app.output.data(raw_record(app.archive, email))
        return ExitCode.DONE
    found = details_of(app.archive, wanted)
    if found is None:
        raise _not_there(wanted)
    _print(app, found.document(app.archive.bucket))
    for problem in found.problems:
        app.output.note(problem)
    return ExitCode.DONE_IN_PART if found.problems else ExitCode.DONE


def _print(app: App, document: dict[str, Any]) -> None:
    if app.output.format != "table":
        app.output.document(document)
        return
    attachments = document.pop("attachments")
    app.output.document(_plain(document))
    if attachments:
        app.output.text("")
        app.output.rows(_ATTACHMENTS, attachments)


def _plain(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document without nested objects, for a table of names and values."""
    lines: dict[str, Any] = {}
    for name, value in document.items():
        if isinstance(value, dict):
            lines |= {f"{name}.{key}": entry for key, entry in value.items()}
        elif isinstance(value, list):
            lines[name] = "\n".join(map(str, value))
        else:
            lines[name] = value
    return lines


def _not_there(message_id: str) -> OpsError:
    return OpsError(f"{message_id} is not in the archive", ExitCode.NOTHING_MATCHED)
