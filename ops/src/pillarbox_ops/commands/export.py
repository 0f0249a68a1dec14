"""`pillarbox export`: archived e-mails into files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pillarbox_ops.attachments import attachments_of
from pillarbox_ops.errors import ExitCode
from pillarbox_ops.exporting import export_file, export_folder, export_stream
from pillarbox_ops.options import with_app, with_selection
from pillarbox_ops.records import ArchivedEmail
from pillarbox_ops.selection import Reading, Selection

if TYPE_CHECKING:
    from pillarbox_ops.app import App


@click.command()
@with_app
@click.argument("form", metavar="jsonl|mbox|eml", type=click.Choice(["jsonl", "mbox", "eml"]))
@click.argument("to", metavar="PATH", type=click.Path(path_type=Path, allow_dash=True))
@with_selection
@click.option("--content", is_flag=True, help="Let the e-mails be printed, with PATH `-`.")
def export(app: App, form: str, to: Path, selection: Selection, content: bool) -> ExitCode:
    """Write archived e-mails, content included, to PATH.

    `jsonl` (the records as stored) and `mbox` (mboxrd) make one new file, or write to standard output with `-` and
    --content. `eml` makes a folder with one file for each e-mail. Attachments are restored where the record embeds
    them; those of a file in the inbox are still in that file.
    """
    if selection.is_everything:
        raise click.UsageError("specify the e-mails: ids, or conditions such as --after 2026-12-01")
    printed = str(to) == "-"
    if printed and (form == "eml" or not content):
        raise click.UsageError("`-` is for jsonl and mbox, and needs --content: it prints the e-mails")
    reading = Reading(app.archive, app.output, selection, datetime.now(UTC))
    counted = _Counted()
    emails = counted.through(reading.emails())
    if printed:
        number = export_stream(emails, form, sys.stdout.buffer)
    elif form == "eml":
        number = export_folder(emails, to)
    else:
        number = export_file(emails, form, to)
    app.output.note(f"{number} e-mails" + ("" if printed or not number else f" in {to}"))
    if counted.left_out and form != "jsonl":
        app.output.note(f"{counted.left_out} attachments are not embedded; they lie in the files of the inbox")
    return reading.exit_code(number)


class _Counted:
    """Counts the attachments that no record embeds."""

    def __init__(self) -> None:
        self.left_out = 0

    def through(self, emails: Iterator[ArchivedEmail]) -> Iterator[ArchivedEmail]:
        for email in emails:
            self.left_out += sum(attachment.content is None for attachment in attachments_of(email))
            yield email
