"""`pillarbox replay`: archived e-mails into a queue again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pillarbox_ops.changes import SAMPLE, agreed
from pillarbox_ops.commands.find import COLUMNS, row
from pillarbox_ops.errors import ExitCode, OpsError
from pillarbox_ops.options import with_app, with_change, with_selection
from pillarbox_ops.pace import Pace
from pillarbox_ops.records import ArchivedEmail, StoredObject
from pillarbox_ops.replay import Replay, Replayed
from pillarbox_ops.replay_journal import Journal
from pillarbox_ops.selection import Reading, Selection

if TYPE_CHECKING:
    from pillarbox_ops.app import App


@dataclass(slots=True)
class _Chosen:
    """What the first read found: how many e-mails, and of those to send the ids, in order, and their objects."""

    matched: int
    objects: dict[str, StoredObject]
    sample: list[dict[str, object]]


@click.command()
@with_app
@with_change
@with_selection
@click.option("--to-queue", metavar="URL", help="The queue to send to.")
@click.option("--to-environment", metavar="NAME", help="Or the queue of the stack pillarbox-NAME.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Maximum e-mails per second.")
@click.option(
    "--resume",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Record what was sent in this file and skip what it records, so that an interrupted replay can be resumed.",
)
def replay(
    app: App,
    *,
    selection: Selection,
    to_queue: str | None,
    to_environment: str | None,
    rate: float | None,
    resume: Path | None,
) -> ExitCode:
    """Send archived e-mails to a queue again: another consumer's, or another environment's.

    The messages are those that the API writes: the e-mail's fields with the attributes message_id, received_at, source
    and traceparent. So an archive that holds them stores none twice; with OBJECT_LAYOUT=batch a copy after a kill can
    be stored a second time in another batch (each line carries its message_id). Of an e-mail that came as a file its
    fields are sent, without the list of attachments. E-mails too large for SQS go by PAYLOAD_BUCKET, or are left out.
    """
    if bool(to_queue) == bool(to_environment):
        raise click.UsageError("specify the target: --to-queue URL or --to-environment NAME")
    if selection.is_everything:
        raise click.UsageError("specify the e-mails: ids, or conditions such as --after 2026-12-01")
    there = app.of_environment(to_environment) if to_environment else app
    queue_url = to_queue or there.target.need("queue_url")
    journal = Journal(resume, queue_url)
    reading = Reading(app.archive, app.output, selection, datetime.now(UTC))
    chosen = _choose(reading.emails(), journal)
    if not chosen.objects:
        app.output.note("all of them were sent before" if chosen.matched else "no e-mail matches")
        return reading.exit_code(chosen.matched)
    if queue_url == app.target.queue_url:
        app.output.note("this is the pipeline's own queue: its archive holds these e-mails, and will count duplicates")
    what = f"send {len(chosen.objects)} e-mails to {queue_url}"
    with journal:
        if not agreed(app.output, what, columns=COLUMNS[:4], sample=chosen.sample, yes=app.yes, dry_run=app.dry_run):
            return reading.exit_code(len(chosen.objects))
        sender = Replay(
            there.clients.sqs, queue_url, pace=Pace(rate), journal=journal, store_payload=_payload_store(there)
        )
        gone = _send(app, chosen, sender)
    return _report(app, sender.result, gone) or reading.exit_code(sender.result.sent)


def _choose(emails: Iterator[ArchivedEmail], journal: Journal) -> _Chosen:
    """Read e-mails once for their number and a sample. Of each only its id and its object are kept."""
    chosen = _Chosen(0, {}, [])
    for email in emails:
        chosen.matched += 1
        if email.message_id not in journal:
            chosen.objects[email.message_id] = StoredObject(email.key, email.size, email.stored_at)
            if len(chosen.sample) < SAMPLE:
                chosen.sample.append(row(email))
    return chosen


def _send(app: App, chosen: _Chosen, sender: Replay) -> int:
    """Read the chosen e-mails again and send them; return how many can no longer be read."""
    objects = {found.key: found for found in chosen.objects.values()}
    seen: set[str] = set()

    def again() -> Iterator[ArchivedEmail]:
        for email in app.archive.read_all(objects.values(), failed=lambda exc: app.output.note(str(exc))):
            wanted = chosen.objects.get(email.message_id)
            if wanted and wanted.key == email.key:
                seen.add(email.message_id)
                progress.advance()
                yield email

    with app.output.progress("sending", len(chosen.objects)) as progress:
        sender.send(again(), app.output.note)
    return len(chosen.objects) - len(seen)


def _report(app: App, result: Replayed, gone: int) -> ExitCode:
    """Print what was done, with `gone` e-mails that could not be read again, and return the exit code of it."""
    app.output.document({"sent": result.sent, "too_large": result.too_large, "failed": result.failed + gone})
    if result.too_large or result.failed or gone:
        return ExitCode.DONE_IN_PART if result.sent else ExitCode.FAILED
    return ExitCode.DONE


def _payload_store(there: App) -> Callable[[str, bytes], str] | None:
    """Return what puts a payload into the bucket of the environment that is sent to."""
    bucket = there.target.payload_bucket
    if not bucket:
        return None

    def store(key: str, payload: bytes) -> str:
        try:
            there.clients.s3.put_object(Bucket=bucket, Key=key, Body=payload, ContentType="application/json")
        except there.clients.s3.exceptions.NoSuchBucket:
            raise OpsError(f"there is no bucket {bucket} for e-mails too large for SQS") from None
        return bucket

    return store
