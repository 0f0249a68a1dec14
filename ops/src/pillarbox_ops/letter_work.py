"""Work on dead letters that a command line names: look, survey, ask, report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from pillarbox_ops.changes import agreed
from pillarbox_ops.dead_letters import COLUMNS, DeadLetter, DeadLetterQueue, Selection
from pillarbox_ops.dumps import read_dump
from pillarbox_ops.errors import ExitCode
from pillarbox_ops.survey import Survey, survey

if TYPE_CHECKING:
    from pillarbox_ops.app import App
    from pillarbox_ops.redrive import Moved
    from pillarbox_ops.scan import Scan

_SAMPLE = [column for column in COLUMNS if column.key in ("sqs_message_id", "sent_at", "reason", "about")]


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
    def scan(self, *, again: bool = False, changes: bool = True) -> Iterator[Scan]:
        """Yield a scan of the queue. Unless it is a second one, print what it cannot see.

        A command that changes nothing calls `looked` at the end: another run of it would not see the rest.
        """
        hidden = 0 if again else self.queue.hidden()
        if hidden:
            self.app.output.note(f"{hidden} more are hidden: another command is reading them, or one was killed")
        with self.queue.scan(self.hold_seconds) as scan:
            yield scan
            if changes and scan.is_full:
                self.app.output.note(
                    "SQS returns no more messages while this many are in flight: run the command again for the rest"
                )

    def survey(self, accepts: Callable[[DeadLetter], bool], dumped: Path | None = None) -> Survey:
        """Return the survey of the messages of the queue, or of a dump, that `accepts` takes."""
        now = datetime.now(UTC)
        if dumped:
            return survey(read_dump(dumped, self.queue.judge), accepts, self.maximum, now)
        with self.scan() as scan:
            return survey(scan, accepts, self.maximum, now)

    def agreed(self, what: str, found: Survey) -> bool:
        """Show what would change and return whether to do it. Raise OpsError as `changes.agreed` does."""
        app = self.app
        return agreed(app.output, what, columns=_SAMPLE, sample=found.sample, yes=app.yes, dry_run=app.dry_run)

    def found(self, number: int) -> int:
        """Return the exit code of a command that found so many messages, and say if it found none."""
        if number:
            return ExitCode.DONE
        self.app.output.note("no dead letter matches")
        return ExitCode.NOTHING_MATCHED

    def looked(self, number: int, scan: Scan) -> int:
        """Return the exit code of a command that only looked and found so many; say if there may be others."""
        code = self.found(number)
        if not scan.is_full:
            return code
        self.app.output.note("SQS returns no more messages while this many are in flight: the rest was not read")
        return ExitCode.DONE_IN_PART

    def report(self, done: str, result: Moved, expected: int) -> int:
        """Say what was done to how many and return the exit code.

        What is neither done nor failed was gone, or somebody else looks at it.
        """
        gone = expected - result.moved - len(result.failed)
        notes = [f"{done} {result.moved} of {expected}"]
        notes += [f"failed: {result.codes}"] if result.failed else []
        notes += [f"{gone} no longer in the queue"] if gone else []
        self.app.output.note("; ".join(notes))
        if result.moved == expected:
            return ExitCode.DONE
        return ExitCode.DONE_IN_PART if result.moved else ExitCode.FAILED

    def letters(self, scan: Scan) -> Iterator[DeadLetter]:
        """Yield the messages that are meant."""
        return islice(filter(self.selection.accepts, scan), self.maximum)
