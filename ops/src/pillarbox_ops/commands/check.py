"""`pillarbox check`: whether this identity reaches and may use each part of the pipeline."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from pillarbox_ops.errors import ExitCode
from pillarbox_ops.options import with_app
from pillarbox_ops.output import Column

if TYPE_CHECKING:
    from pillarbox_ops.app import App

NAMES = ("queue", "dlq", "bucket", "conflicts", "files-queue", "files-dlq", "inbox", "payloads", "token", "api")
COLUMNS = (Column("check", "CHECK"), Column("needs", "NEEDS"), Column("ok", "OK"), Column("detail", "DETAIL"))
_WORDS = {True: "ok", False: "failed", None: "not checked"}


@click.command()
@click.option(
    "--require", "required", multiple=True, type=click.Choice(NAMES), help="Only this check; may be repeated."
)
@with_app
def check(app: App, required: tuple[str, ...]) -> int:
    """Check that this identity reaches and may use the parts of the pipeline; changes nothing.

    Without --require it checks queue, dlq, bucket and conflicts, and whatever else is configured. What cannot be
    asked without using it is `not checked` and no failure.
    """
    from pillarbox_ops.checks import check_all, configured  # noqa: PLC0415  imports botocore

    results = check_all(required or configured(app.target), app.target, app.clients)
    rows = [asdict(result) for result in results]
    if app.output.format == "table":
        rows = [row | {"ok": _WORDS[row["ok"]]} for row in rows]
    app.output.rows(COLUMNS, rows)
    failed = sum(result.ok is False for result in results)
    if failed:
        app.output.note(f"{failed} of {len(results)} failed")
    return ExitCode.FAILED if failed else ExitCode.DONE
