"""The options that name dead letters, which the commands of `pillarbox dlq` share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from pillarbox_ops.dead_letters import HOLD_SECONDS, DeadLetter, DeadLetterQueue, Selection
from pillarbox_ops.options import Time
from pillarbox_ops.reasons import OF_EMAILS, OF_FILES

if TYPE_CHECKING:
    from pillarbox_ops.app import App
    from pillarbox_ops.scan import Scan

_REASONS = list(dict.fromkeys(OF_EMAILS + OF_FILES))
_SHORTEST_HOLD = 10


@dataclass(frozen=True, slots=True)
class Wanted:
    """The messages that a command line names: a queue, conditions, and how many at most."""

    app: App
    queue: DeadLetterQueue
    files: bool
    selection: Selection
    maximum: int | None
    hold_seconds: int

    @property
    def source_url(self) -> str:
        """Return the URL of the queue that the messages came from. Raise OpsError if it is not known."""
        return self.app.target.need("files_queue_url" if self.files else "queue_url")

    @contextmanager
    def scan(self, *, again: bool = False) -> Iterator[Scan]:
        """Give a look through the queue, and unless it is a second one say what it cannot see."""
        hidden = 0 if again else self.queue.hidden()
        if hidden:
            self.app.output.note(f"{hidden} more are hidden now: another look, or a command that was killed, has them")
        with self.queue.scan(self.hold_seconds) as scan:
            yield scan
            if scan.is_full:
                self.app.output.note("SQS gives no more while so many are looked at: run it again for the rest")

    def letters(self, scan: Scan) -> Iterator[DeadLetter]:
        """Yield the messages that are meant."""
        return islice(filter(self.selection.accepts, scan), self.maximum)


def with_letters(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command, inside of `with_app`: its second argument is the Wanted of its options."""

    @click.option("--files", is_flag=True, help="The dead letters of file intake.")
    @click.option("--reason", multiple=True, type=click.Choice(_REASONS), help="Why they are here; may be repeated.")
    @click.option("--sender", multiple=True, metavar="TEXT", help="Part of the sender; with --files of the object.")
    @click.option("--id", "ids", multiple=True, metavar="ID", help="Message id or SQS id; may be repeated.")
    @click.option("--older-than", type=Time(), metavar="TIME", help="Sent before then, such as 2d or 2026-12-01.")
    @click.option("--max", "maximum", type=click.IntRange(min=1), metavar="N", help="So many at most.")
    @click.option(
        "--hold",
        type=click.IntRange(min=_SHORTEST_HOLD, max=3600),
        default=HOLD_SECONDS,
        show_default=True,
        metavar="SECONDS",
        help="How long a message stays hidden after this command was killed.",
    )
    @functools.wraps(command)
    def wrapped(
        app: App,
        *args: Any,
        files: bool,
        reason: tuple[str, ...],
        sender: tuple[str, ...],
        ids: tuple[str, ...],
        older_than: datetime | None,
        maximum: int | None,
        hold: int,
        **options: Any,
    ) -> Any:
        known = OF_FILES if files else OF_EMAILS
        for one in reason:
            if one not in known:
                raise click.BadParameter(f"{one}: here there are {', '.join(known)}", param_hint="--reason")
        selection = Selection(reason, sender, ids, older_than)
        queue = DeadLetterQueue.of(app, files=files)
        return command(app, Wanted(app, queue, files, selection, maximum, hold), *args, **options)

    return wrapped
