"""Every change of a command: its count and a sample first, then the question."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from pillarbox_ops.errors import ExitCode, OpsError
from pillarbox_ops.output import Column, Output, cell, safe

SAMPLE = 5
_LONGEST_CELL = 100


def agreed(
    output: Output,
    what: str,
    *,
    columns: Sequence[Column] = (),
    sample: Sequence[Mapping[str, Any]] = (),
    yes: bool,
    dry_run: bool,
) -> bool:
    """Show what would change, such as `redrive 12 messages`, and up to five of them; return whether to do it.

    With `dry_run` return False without a question. Raise OpsError if the answer is no, or if there is no terminal and
    `yes` is not set.
    """
    output.note(f"would {what}" if dry_run else what)
    for row in sample[:SAMPLE]:
        output.note("  " + "  ".join(_shown(row.get(column.key)) for column in columns))
    if dry_run:
        return False
    if yes:
        return True
    if not sys.stdin.isatty():
        raise OpsError("nothing was changed: standard input is not a terminal, so pass --yes", ExitCode.USAGE)
    if not click.confirm("Do it?", err=True):
        raise OpsError("nothing was changed")
    return True


def _shown(value: object) -> str:
    """Return a value of a sample. A line end in it is escaped too, for it could forge a line of the question."""
    return safe(cell(value))[:_LONGEST_CELL]
