"""`pillarbox dlq redrive`: moves dead letters back to their queue."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pillarbox_ops.changes import SAMPLE
from pillarbox_ops.dead_letters import DeadLetter
from pillarbox_ops.dumps import read_dump
from pillarbox_ops.errors import ExitCode
from pillarbox_ops.letter_options import with_letters
from pillarbox_ops.options import with_app, with_change
from pillarbox_ops.reasons import REDRIVABLE
from pillarbox_ops.survey import Survey, survey

if TYPE_CHECKING:
    from pillarbox_ops.app import App
    from pillarbox_ops.letter_work import Wanted

_RATE = "Maximum messages per second. Below 1 only with a condition, --from or --force: SQS accepts no lower rate."


@click.command()
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), metavar="N", help=_RATE)
@click.option("--force", is_flag=True, help="Also move messages that the consumer will refuse again.")
@click.option(
    "--from", "dumped", type=click.Path(path_type=Path), metavar="FILE", help="Send the messages of a dump instead."
)
@click.option("--wait", is_flag=True, help="Wait until SQS has moved all of them.")
@with_app
@with_change
@with_letters
def redrive(app: App, wanted: Wanted, *, rate: float | None, force: bool, dumped: Path | None, wait: bool) -> int:
    """Move dead letters back to their queue.

    Without a condition SQS moves all messages. With one, only messages that the consumer can store are moved, unless
    their reason is named or --force is given. It can be repeated: an e-mail is stored once; with
    OBJECT_LAYOUT=batch a copy after a kill can be stored a second time in another batch, where each line carries its
    message_id.
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

    found = wanted.survey(accepts, dumped)
    if refused:
        app.output.note(
            f"{len(refused)} not moved, because the consumer would reject them again; --force moves them too"
        )
    if not found.ids:
        return wanted.found(0)
    where = wanted.source_url.rpartition("/")[2]
    if not wanted.agreed(f"move {len(found.ids)} dead letters to {where} ({found.summary()})", found):
        return ExitCode.DONE
    return _redrive(app, wanted, found, rate, dumped)


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
    return wanted.report("moved", result, len(found.ids))


def _redrive_all(app: App, wanted: Wanted, rate: float | None, *, wait: bool) -> int:
    from pillarbox_ops import redrive as tasks  # noqa: PLC0415  imports botocore

    if rate and rate < tasks.MIN_TASK_RATE:
        raise click.UsageError(
            f"without a condition SQS moves the messages, at {tasks.MIN_TASK_RATE} a second or more: give a higher "
            "--rate, or --force, with which this command moves all of them"
        )
    with wanted.scan() as scan:
        some = survey(scan, lambda _letter: True, SAMPLE, datetime.now(UTC))
    if not some.ids:
        return wanted.found(0)
    if not wanted.agreed(f"move all dead letters, about {wanted.queue.count()}, back to their queue", some):
        return ExitCode.DONE
    task = tasks.start_move_task(app.clients.sqs, wanted.queue.url, rate)
    if task is None:
        app.output.note("this service has no StartMessageMoveTask: this command moves them itself")
        return _redrive(app, wanted, wanted.survey(lambda _letter: True), rate)
    if not wait:
        app.output.note("SQS is moving the messages")
        return ExitCode.DONE
    ended = tasks.wait_for_task(app.clients.sqs, wanted.queue.url)
    app.output.note(f"{ended.status}: {ended.moved} moved{f', {ended.failure}' if ended.failure else ''}")
    return ExitCode.DONE if ended.status == "COMPLETED" else ExitCode.DONE_IN_PART
