"""`pillarbox dlq`: looks at dead letters, saves them, moves them back, deletes them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pillarbox_ops import private_file
from pillarbox_ops.changes import SAMPLE, agreed
from pillarbox_ops.dead_letters import COLUMNS, DeadLetter, DeadLetterQueue
from pillarbox_ops.dumps import line_of, plain_attributes, read_dump
from pillarbox_ops.errors import ExitCode
from pillarbox_ops.letter_options import Wanted, with_letters
from pillarbox_ops.options import with_app, with_change
from pillarbox_ops.reasons import REDRIVABLE
from pillarbox_ops.survey import Survey, survey

if TYPE_CHECKING:
    from pillarbox_ops.app import App
    from pillarbox_ops.redrive import Moved

SAMPLE_COLUMNS = [column for column in COLUMNS if column.key in ("sqs_message_id", "sent_at", "reason", "about")]


@click.group()
def dlq() -> None:
    """Look at dead letters, save them, move them back, delete them.

    The reason is computed again from each message; what has nothing wrong with it is `redrivable`. Every look hides
    the messages for its time, and shows them again at its end.
    """


@dlq.command()
@with_app
@with_letters
def ls(app: App, wanted: Wanted) -> int:
    """List dead letters."""
    now = datetime.now(UTC)
    with wanted.scan() as scan:
        rows = (letter.row(now) for letter in wanted.letters(scan))
        if app.output.format == "table":
            rows = (row | {"age": timedelta(seconds=row["age_seconds"])} for row in rows)
        return _found(app, app.output.rows(COLUMNS, rows))


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
        return _found(app, 0)
    fields = found.row(datetime.now(UTC)) | {"attributes": plain_attributes(found)}
    app.output.document(fields | ({"body": found.body} if content else {}))
    return ExitCode.DONE


@dlq.command()
@click.option("--to", type=click.Path(path_type=Path), metavar="FILE", help="A new file, which only you can read.")
@click.option("--content", is_flag=True, help="Print the lines, which hold content, instead.")
@with_app
@with_letters
def dump(app: App, wanted: Wanted, *, to: Path | None, content: bool) -> int:
    """Save dead letters as JSON lines, exactly; `redrive --from FILE` sends them. They stay where they are."""
    if (to is None) == (not content):
        raise click.UsageError("either --to FILE or --content: the lines hold what is in the e-mails")
    number = 0
    with nullcontext() if to is None else private_file.create(to) as file, wanted.scan() as scan:
        for number, letter in enumerate(wanted.letters(scan), 1):  # noqa: B007  counts a stream
            if file:
                file.write(line_of(letter) + "\n")
            else:
                app.output.text(line_of(letter))
    if to and number:
        app.output.note(f"{number} dead letters saved to {to}")
    elif to:
        to.unlink()
    return _found(app, number)


@dlq.command()
@click.option("--all", "everything", is_flag=True, help="All of them, whatever they are.")
@with_app
@with_change
@with_letters
def delete(app: App, wanted: Wanted, *, everything: bool) -> int:
    """Delete dead letters for good; save them with `dump` first."""
    if not wanted.selection and not everything:
        raise click.UsageError("name what to delete, such as --reason not_an_email, or say --all")
    found = _survey(wanted, wanted.selection.accepts)
    if not found.ids:
        return _found(app, 0)
    if not _agreed(app, f"delete {len(found.ids)} dead letters ({found.summary()})", found):
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
    return _report(app, "deleted", result, len(found.ids))


@dlq.command()
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), metavar="N", help="So many a second at most.")
@click.option("--force", is_flag=True, help="Move what the consumer will refuse again, too.")
@click.option(
    "--from", "dumped", type=click.Path(path_type=Path), metavar="FILE", help="Send the messages of a dump instead."
)
@click.option("--wait", is_flag=True, help="Wait until SQS has moved all of them.")
@with_app
@with_change
@with_letters
def redrive(app: App, wanted: Wanted, *, rate: float | None, force: bool, dumped: Path | None, wait: bool) -> int:
    """Move dead letters back to their queue.

    Without any condition SQS moves all of them, whatever they are. With one, those move that the consumer can store;
    a reason that is named, or --force, moves others. Repeating it is safe: an e-mail is stored once.
    """
    if not (wanted.selection or wanted.maximum or dumped or force):
        return _redrive_all(app, wanted, rate, wait=wait)
    refused: set[str] = set()

    def accepts(letter: DeadLetter) -> bool:
        if not wanted.selection.accepts(letter):
            return False
        if force or wanted.selection.reasons or letter.reason == REDRIVABLE:
            return True
        refused.add(letter.sqs_message_id)
        return False

    found = _survey(wanted, accepts, dumped)
    if refused:
        app.output.note(f"{len(refused)} stay, for the consumer would refuse them again; --force moves them too")
    if not found.ids:
        return _found(app, 0)
    where = wanted.source_url.rpartition("/")[2]
    if not _agreed(app, f"move {len(found.ids)} dead letters to {where} ({found.summary()})", found):
        return ExitCode.DONE
    return _redrive(app, wanted, found, rate, dumped)


def _survey(wanted: Wanted, accepts: Callable[[DeadLetter], bool], dumped: Path | None = None) -> Survey:
    now = datetime.now(UTC)
    if dumped:
        return survey(read_dump(dumped, wanted.queue.judge), accepts, wanted.maximum, now)
    with wanted.scan() as scan:
        return survey(scan, accepts, wanted.maximum, now)


def _redrive(app: App, wanted: Wanted, found: Survey, rate: float | None, dumped: Path | None = None) -> int:
    from pillarbox_ops.pace import Pace  # noqa: PLC0415
    from pillarbox_ops.redrive import Sender, move  # noqa: PLC0415  imports botocore

    sender = Sender(app.clients.sqs, wanted.source_url, Pace(rate))
    with app.output.progress("moving", len(found.ids)) as bar:
        if dumped:
            result = move(found.chosen(read_dump(dumped, wanted.queue.judge)), sender, None, bar.advance)
        else:
            with wanted.scan(again=True) as scan:
                result = move(found.chosen(scan), sender, scan, bar.advance)
    if result.without_id:
        app.output.note(f"{result.without_id} have no room for a message_id, so a second copy would be stored too")
    return _report(app, "moved", result, len(found.ids))


def _redrive_all(app: App, wanted: Wanted, rate: float | None, *, wait: bool) -> int:
    from pillarbox_ops import redrive as tasks  # noqa: PLC0415  imports botocore

    with wanted.scan() as scan:
        some = survey(scan, lambda _letter: True, SAMPLE, datetime.now(UTC))
    if not some.ids:
        return _found(app, 0)
    if not _agreed(app, f"move all dead letters, about {wanted.queue.count()}, back to their queue", some):
        return ExitCode.DONE
    task = tasks.start_move_task(app.clients.sqs, wanted.queue.url, rate)
    if task is None:
        app.output.note("this service has no StartMessageMoveTask: they are moved from here")
        return _redrive(app, wanted, _survey(wanted, lambda _letter: True), rate)
    if not wait:
        app.output.note("SQS moves them now")
        return ExitCode.DONE
    ended = tasks.wait_for_task(app.clients.sqs, wanted.queue.url)
    app.output.note(f"{ended.status}: {ended.moved} moved{f', {ended.failure}' if ended.failure else ''}")
    return ExitCode.DONE if ended.status == "COMPLETED" else ExitCode.DONE_IN_PART


def _agreed(app: App, what: str, found: Survey) -> bool:
    return agreed(app.output, what, columns=SAMPLE_COLUMNS, sample=found.sample, yes=app.yes, dry_run=app.dry_run)


def _report(app: App, done: str, result: Moved, wanted: int) -> int:
    """Say what was done; what is neither done nor failed was gone, or somebody else looks at it."""
    gone = wanted - result.moved - len(result.failed)
    notes = [f"{done} {result.moved} of {wanted}"]
    notes += [f"failed: {result.codes}"] if result.failed else []
    notes += [f"{gone} not there any more"] if gone else []
    app.output.note("; ".join(notes))
    if result.moved == wanted:
        return ExitCode.DONE
    return ExitCode.DONE_IN_PART if result.moved else ExitCode.FAILED


def _found(app: App, number: int) -> int:
    if number:
        return ExitCode.DONE
    app.output.note("no dead letter matches")
    return ExitCode.NOTHING_MATCHED
