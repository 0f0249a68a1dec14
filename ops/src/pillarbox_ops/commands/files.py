"""`pillarbox files`: enqueues files that were in a bucket before its notification."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

import click

from pillarbox_ops.changes import agreed
from pillarbox_ops.errors import ExitCode
from pillarbox_ops.options import Time, with_app, with_change
from pillarbox_ops.output import Column
from pillarbox_ops.pace import Pace

if TYPE_CHECKING:
    from pillarbox_ops.app import App

COLUMNS = (Column("key", "KEY"), Column("size", "SIZE"), Column("created_at", "CREATED"))


@click.group()
def files() -> None:
    """Work on the files of file intake."""


@files.command()
@click.argument("place", metavar="s3://BUCKET/PREFIX")
@click.option("--since", type=Time(), metavar="TIME", help="Only what was created since then.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), metavar="N", help="Maximum events per second.")
@with_app
@with_change
def enqueue(app: App, place: str, *, since: datetime | None, rate: float | None) -> int:
    """Send an event for each file below a prefix, so that file intake archives it.

    What is archived already is not archived again, so a broken run can be repeated.
    """
    from pillarbox_ops import enqueue as events  # noqa: PLC0415  imports botocore

    bucket, prefix = events.place_of(place)
    url = "" if app.dry_run else app.target.need("files_queue_url")
    region = app.target.need("region")
    total = events.listed(events.files(app.clients.s3, bucket, prefix, since))
    if not total.number:
        app.output.note(f"no file below {place}")
        return ExitCode.NOTHING_MATCHED
    what = f"enqueue {total.number} files, {total.size} bytes, below {place}"
    sample = [asdict(file) for file in total.sample]
    if not agreed(app.output, what, columns=COLUMNS, sample=sample, yes=app.yes, dry_run=app.dry_run):
        return ExitCode.DONE
    with app.output.progress("sending", total.number) as bar:
        found = events.files(app.clients.s3, bucket, prefix, since)
        sent = events.send(app.clients.sqs, url, found, region, pace=Pace(rate), done=bar.advance)
    app.output.note(f"{sent} events sent to {url.rpartition('/')[2]}")
    return ExitCode.DONE
