"""`pillarbox status`: the state of the pipeline, once or again and again."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from pillarbox_ops.errors import ExitCode
from pillarbox_ops.options import with_app
from pillarbox_ops.output import Column
from pillarbox_ops.status import QueueState, Status, read_status

if TYPE_CHECKING:
    from pillarbox_ops.app import App

_COLUMNS = (
    Column("name", "QUEUE"),
    Column("visible", "VISIBLE", right=True),
    Column("in_flight", "IN FLIGHT", right=True),
    Column("delayed", "DELAYED", right=True),
    Column("oldest_seconds", "OLDEST, S", right=True),
)


@click.command()
@with_app
@click.option(
    "--watch",
    type=click.FloatRange(min=0.2),
    is_flag=False,
    flag_value=2.0,
    metavar="[SECONDS]",
    help="Refresh every N seconds (default 2) until Ctrl-C.",
)
@click.option(
    "--kube-context",
    metavar="NAME",
    help="Also show replicas, read from this kubectl context; the current one may belong to another environment.",
)
def status(app: App, watch: float | None, kube_context: str | None) -> ExitCode:
    """Show queues, services and the last archived e-mail.

    The age of the oldest message comes from CloudWatch, which is minutes late. Services are shown where API_URL,
    CONSUMER_URL and FILE_INTAKE_URL lead to their /metrics. What cannot be read is "-", with a
    note, and the exit code is 4.
    """
    if watch is None:
        return _show(app, kube_context)
    while True:
        started = time.monotonic()
        _show(app, kube_context, again=True)
        time.sleep(max(0.0, started + watch - time.monotonic()))


def _show(app: App, kube_context: str | None, *, again: bool = False) -> ExitCode:
    now = datetime.now(UTC)
    found = read_status(app, now, kube_context)
    if again and app.output.redraws:
        app.output.clear()  # not before all is read, or the terminal would be empty meanwhile
    if app.output.format == "table":
        app.output.rows(_COLUMNS, [_queue_row(state) for state in found.queues])
        app.output.text("")
        app.output.document(_lines(found))
    else:
        app.output.document(found.document(now))
    for problem in found.problems:
        app.output.note(problem)
    return ExitCode.DONE_IN_PART if found.problems else ExitCode.DONE


def _queue_row(state: QueueState) -> dict[str, Any]:
    # A table shows nothing as "-", and so must tell a zero from it.
    return {name: value if value is None else str(value) for name, value in asdict(state).items()}


def _lines(found: Status) -> dict[str, Any]:
    lines: dict[str, Any] = {}
    for service in found.services:
        lines[service.name] = "  ".join(f"{name} {value:g}" for name, value in service.figures.items())
    if found.replicas:
        lines["replicas"] = "  ".join(f"{name} {count}" for name, count in sorted(found.replicas.items()))
    last = found.last_archived
    lines["last archived"] = f"{last.stored_at:%Y-%m-%d %H:%M:%S}  {last.message_id}" if last else None
    return lines
