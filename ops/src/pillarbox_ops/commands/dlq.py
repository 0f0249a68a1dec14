"""`pillarbox dlq`: looks at dead letters, saves them, moves them back, deletes them."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pillarbox_ops import private_file
from pillarbox_ops.commands.dlq_redrive import redrive
from pillarbox_ops.dead_letters import COLUMNS, DeadLetterQueue
from pillarbox_ops.dumps import line_of, plain_attributes
from pillarbox_ops.errors import ExitCode
from pillarbox_ops.letter_options import with_letters
from pillarbox_ops.options import with_app, with_change

if TYPE_CHECKING:
    from pillarbox_ops.app import App
    from pillarbox_ops.letter_work import Wanted


@click.group()
def dlq() -> None:
    """Look at dead letters, save them, move them back, delete them.

    The reason is computed from each message; a message with nothing wrong is `redrivable`. The commands hide messages
    while they read the queue, and show them again at the end.
    """


@dlq.command()
@with_app
@with_letters
def ls(app: App, wanted: Wanted) -> int:
    """List dead letters. The exit code is 4 if there are more than SQS gives to one look, 120000."""
    now = datetime.now(UTC)
    with wanted.scan(changes=False) as scan:
        rows = (letter.row(now) for letter in wanted.letters(scan))
        if app.output.format == "table":
            rows = (row | {"age": timedelta(seconds=row["age_seconds"])} for row in rows)
        return wanted.looked(app.output.rows(COLUMNS, rows), scan)


@dlq.command()
@click.argument("message_id", metavar="ID")
@click.option("--files", is_flag=True, help="A dead letter of file intake.")
@click.option("--content", is_flag=True, help="Print the body too.")
@with_app
def show(app: App, message_id: str, *, files: bool, content: bool) -> int:
    """Show one dead letter and its attributes; ID is its message id or its SQS id."""
    queue = DeadLetterQueue.of(app, files=files)
    with queue.scan() as scan:
        found = next((letter for letter in scan if letter.is_named(message_id)), None)
    if not found:
        app.output.note("no dead letter matches")
        return ExitCode.NOTHING_MATCHED
    fields = found.row(datetime.now(UTC)) | {"attributes": plain_attributes(found)}
    app.output.document(fields | ({"body": found.body} if content else {}))
    return ExitCode.DONE


@dlq.command()
@click.option("--to", type=click.Path(path_type=Path), metavar="FILE", help="A new file, which only you can read.")
@click.option("--content", is_flag=True, help="Print the lines, which hold content, instead.")
@with_app
@with_letters
def dump(app: App, wanted: Wanted, *, to: Path | None, content: bool) -> int:
    """Save dead letters as JSON lines, exactly; `redrive --from FILE` sends them. They stay where they are.

    FILE appears when it is complete. The exit code is 4 if there are more than SQS gives to one look, 120000.
    """
    if (to is None) == (not content):
        raise click.UsageError("either --to FILE or --content: the lines hold what is in the e-mails")
    number = 0
    with nullcontext() if to is None else private_file.whole(to) as file, wanted.scan(changes=False) as scan:
        for number, letter in enumerate(wanted.letters(scan), 1):  # noqa: B007  counts a stream
            if file:
                file.write(line_of(letter).encode() + b"\n")
            else:
                app.output.text(line_of(letter))
    if to and number:
        app.output.note(f"{number} dead letters saved to {to}")
    return wanted.looked(number, scan)


@dlq.command()
@click.option("--all", "everything", is_flag=True, help="All dead letters.")
@with_app
@with_change
@with_letters
def delete(app: App, wanted: Wanted, *, everything: bool) -> int:
    """Delete dead letters for good; save them with `dump` first."""
    if not wanted.selection and not everything:
        raise click.UsageError("specify a condition such as --reason not_an_email, or --all")
    found = wanted.survey(wanted.selection.accepts)
    if not found.ids:
        return wanted.found(0)
    if not wanted.agreed(f"delete {len(found.ids)} dead letters ({found.summary()})", found):
        return ExitCode.DONE
    from pillarbox_ops.redrive import Moved  # noqa: PLC0415  imports botocore
    from pillarbox_ops.scan import BATCH, chunks  # noqa: PLC0415

    result = Moved()
    with app.output.progress("deleting", len(found.ids)) as bar, wanted.scan(again=True) as scan:
        for part in chunks(found.chosen(scan), BATCH):
            failed = scan.delete(part)
            result.failed |= failed
            result.moved += len(part) - len(failed)
            bar.advance(len(part))
    return wanted.report("deleted", result, len(found.ids))


dlq.add_command(redrive)
