"""The options that name dead letters, which the commands of `pillarbox dlq` share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from pillarbox_ops.dead_letters import HOLD_SECONDS, DeadLetterQueue, Selection
from pillarbox_ops.letter_work import Wanted
from pillarbox_ops.options import Time
from pillarbox_ops.reasons import OF_EMAILS, OF_FILES

if TYPE_CHECKING:
    from pillarbox_ops.app import App

_REASONS = list(dict.fromkeys(OF_EMAILS + OF_FILES))
_SHORTEST_HOLD = 10
_LONGEST_HOLD = 3600

_OPTIONS = (
    click.option("--files", is_flag=True, help="The dead letters of file intake."),
    click.option("--reason", multiple=True, type=click.Choice(_REASONS), help="Why they are here; may be repeated."),
    click.option("--sender", multiple=True, metavar="TEXT", help="Part of the sender; with --files of the object."),
    click.option("--id", "ids", multiple=True, metavar="ID", help="Message id or SQS id; may be repeated."),
    click.option("--older-than", type=Time(), metavar="TIME", help="Sent before then, such as 2d or 2026-12-01."),
    click.option("--max", "maximum", type=click.IntRange(min=1), metavar="N", help="Maximum number of messages."),
    click.option(
        "--hold",
        type=click.IntRange(min=_SHORTEST_HOLD, max=_LONGEST_HOLD),
        default=HOLD_SECONDS,
        show_default=True,
        metavar="SECONDS",
        help="How long a message stays hidden after this command was killed.",
    ),
)


def with_letters(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command, inside of `with_app`: its second argument is the Wanted of its options."""

    @functools.wraps(command)
    def wrapped(app: App, *args: Any, **options: Any) -> Any:
        wanted = _wanted(app, options)
        return command(app, wanted, *args, **options)

    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def _wanted(app: App, options: dict[str, Any]) -> Wanted:
    """Return what the shared options say, and take them out."""
    files, reasons = options.pop("files"), options.pop("reason")
    known = OF_FILES if files else OF_EMAILS
    for one in reasons:
        if one not in known:
            raise click.BadParameter(f"{one}: here there are {', '.join(known)}", param_hint="--reason")
    selection = Selection(reasons, options.pop("sender"), options.pop("ids"), options.pop("older_than"))
    queue = DeadLetterQueue.of(app, files=files)
    return Wanted(app, queue, files, selection, options.pop("maximum"), options.pop("hold"))
