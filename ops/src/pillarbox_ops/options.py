"""The options that commands share, and how a command gets its App."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pillarbox_ops.archive import checked_id
from pillarbox_ops.search import Query, parse_size, parse_time
from pillarbox_ops.selection import Selection

if TYPE_CHECKING:
    from pillarbox_ops.app import App

_CONDITIONS = ("sender", "subject", "text", "after", "before", "larger", "smaller")


def with_app(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command: it gets an App as its first argument, and the options that choose target and output."""

    @click.option(
        "-o",
        "--output",
        "wanted",
        type=click.Choice(["table", "json", "jsonl"]),
        help="Form of the data. Default: table on a terminal, else jsonl.",
    )
    @click.option(
        "--environment", metavar="NAME", help="Work on the stack pillarbox-NAME instead of what variables name."
    )
    @click.option(
        "--env-file",
        type=click.Path(path_type=Path),
        help="Read variables from this file. Default: .local/stack.env if it exists and no variable names a pipeline.",
    )
    @functools.wraps(command)
    def wrapped(*args: Any, wanted: Any, environment: str | None, env_file: Path | None, **options: Any) -> Any:
        return command(_new_app(wanted, environment, env_file), *args, **options)

    return wrapped


def with_change(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command that changes something, outside of `with_app`: `app.yes` and `app.dry_run` say how."""

    @click.option("--yes", is_flag=True, help="Do not ask.")
    @click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
    @functools.wraps(command)
    def wrapped(app: App, *args: Any, yes: bool, dry_run: bool, **options: Any) -> Any:
        app.yes, app.dry_run = yes, dry_run
        return command(app, *args, **options)

    return wrapped


def with_selection(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command, below `with_app`: it gets a Selection of archived e-mails by ids or by conditions."""

    @click.argument("ids", metavar="[ID]...", nargs=-1)
    @click.option("--sender", multiple=True, metavar="TEXT", help="Part of the sender. May be given more than once.")
    @click.option("--subject", multiple=True, metavar="TEXT", help="Part of the subject.")
    @click.option("--text", multiple=True, metavar="TEXT", help="Part of subject, sender or content.")
    @click.option(
        "--after", type=Time(), help="Since, by the time in the id: 2026-12-01, 2026-12-01T14:30Z or 2h. Default: 7d."
    )
    @click.option("--before", type=Time(), help="Before, by the time in the id; at most one day ahead.")
    @click.option("--larger", type=Size(), help="Record of more bytes than 500, 10k or 2M.")
    @click.option("--smaller", type=Size(), help="Record of fewer bytes.")
    @click.option("--limit", type=click.IntRange(min=1), help="Maximum number of e-mails, oldest first.")
    @functools.wraps(command)
    def wrapped(app: App, ids: tuple[str, ...], limit: int | None, **options: Any) -> Any:
        query = Query(**{name: options.pop(name) for name in _CONDITIONS})
        if ids and query != Query():
            raise click.UsageError("give ids or conditions, not both")
        try:
            query.span(datetime.now(UTC))
        except ValueError as exc:
            raise click.UsageError(str(exc)) from None
        return command(app, selection=Selection(query, tuple(map(checked_id, ids)), limit), **options)

    return wrapped


class Time(click.ParamType[datetime]):
    """A time such as 2026-12-01, 2026-12-01T14:30Z or 2h (two hours ago)."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the time in UTC."""
        if isinstance(value, datetime):
            return value
        try:
            return parse_time(value, datetime.now(UTC))
        except ValueError as exc:
            self.fail(str(exc), param, ctx)


class Size(click.ParamType[int]):
    """A size such as 500, 10k or 2M."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the size in bytes."""
        if isinstance(value, int):
            return value
        try:
            return parse_size(value)
        except ValueError as exc:
            self.fail(str(exc), param, ctx)


def _new_app(wanted: Any, environment: str | None, env_file: Path | None) -> App:
    from pillarbox_ops.app import App  # noqa: PLC0415  --help does not need it
    from pillarbox_ops.output import Output  # noqa: PLC0415

    return App(Output(wanted), env_file, environment)
