"""Output of all commands: data on standard output as a table, JSON or JSON lines; all else on standard error."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol, TextIO

from pillarbox.message import rfc3339

if TYPE_CHECKING:
    from rich.console import Console

Format = Literal["table", "json", "jsonl"]

# What a terminal could obey or that changes the order of what is read: control characters, and bidirectional controls.
# Lone surrogates too, which no stream can write.
# https://www.unicode.org/reports/tr9/#Directional_Formatting_Characters
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_WIDE_COLUMNS = 200


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: the key of its value in each row, and its title. `whole` values are never broken."""

    key: str
    title: str
    right: bool = False
    whole: bool = False


class Progress(Protocol):
    """Progress of a long command."""

    def advance(self, steps: int = 1) -> None:
        """Count steps as done."""
        ...

    def expect(self, steps: int = 1) -> None:
        """Add steps to the total."""
        ...


class Output:
    """The output of one command. Without a format it is a table on a terminal and JSON lines elsewhere."""

    def __init__(
        self, wanted: Format | None = None, *, stdout: TextIO | None = None, stderr: TextIO | None = None
    ) -> None:
        self._stdout = stdout or sys.stdout
        self._stderr = stderr or sys.stderr
        self.format: Format = wanted or ("table" if self._stdout.isatty() else "jsonl")

    def rows(self, columns: Sequence[Column], rows: Iterable[Mapping[str, Any]]) -> int:
        """Write rows and return their number. JSON lines hold all keys of a row and appear one by one."""
        if self.format == "jsonl":
            number = 0
            for number, row in enumerate(rows, 1):  # noqa: B007  counts a stream
                self._write(_json(dict(row)))
            return number
        if self.format == "json":
            listed = [dict(row) for row in rows]
            self._write(_json(listed, indent=2))
            return len(listed)
        return self._table(columns, rows)

    def document(self, fields: Mapping[str, Any]) -> None:
        """Write one object: a line for each field in a table, else JSON."""
        if self.format == "table":
            self._table((Column("name", ""), Column("value", "")), ({"name": n, "value": v} for n, v in fields.items()))
        else:
            self._write(_json(dict(fields), indent=2 if self.format == "json" else None))

    def text(self, text: str) -> None:
        """Write text to standard output as it is, apart from what a terminal could obey."""
        self._write(safe(text, keep="\n\t") if self._stdout.isatty() else text)

    @property
    def redraws(self) -> bool:
        """Return whether a table on this terminal may be drawn again in its place."""
        return self.format == "table" and self._stdout.isatty()

    def clear(self) -> None:
        """Clear the terminal."""
        self._stdout.write("\x1b[H\x1b[2J")

    def data(self, raw: bytes) -> None:
        """Write bytes to standard output unchanged; on a terminal as `text` does."""
        if self._stdout.isatty():
            self.text(raw.decode(errors="replace"))
            return
        self._stdout.flush()
        self._stdout.buffer.write(raw)
        self._stdout.buffer.flush()

    def note(self, text: str) -> None:
        """Write a line to standard error."""
        print(safe(text, keep="\n"), file=self._stderr, flush=True)

    def hint(self, text: str) -> None:
        """Write a line to standard error if that is a terminal; a script does not need it."""
        if self._stderr.isatty():
            self.note(text)

    @contextmanager
    def progress(self, what: str, total: int | None) -> Iterator[Progress]:
        """Yield a progress bar on standard error; it is hidden if that is no terminal.

        Nor is one drawn where JSON lines appear on the same terminal. A `total` of None is one that `expect` raises.
        """
        streams_here = self.format == "jsonl" and self._stdout.isatty()
        if streams_here or not self._stderr.isatty():
            yield _Silent()
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415  slow to import

        columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console(self._stderr), transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield _Bar(bar, task)

    def _table(self, columns: Sequence[Column], rows: Iterable[Mapping[str, Any]]) -> int:
        from rich.table import Table  # noqa: PLC0415  slow to import
        from rich.text import Text  # noqa: PLC0415

        table = Table(box=None, pad_edge=False, header_style="bold", show_header=any(c.title for c in columns))
        for column in columns:
            side: Literal["left", "right"] = "right" if column.right else "left"
            table.add_column(column.title, justify=side, overflow="fold", no_wrap=column.whole)
        number = 0
        for number, row in enumerate(rows, 1):  # noqa: B007  counts a stream
            table.add_row(*(Text(safe(cell(row.get(column.key)))) for column in columns))
        if number:
            self._console(self._stdout).print(table)
        return number

    def _console(self, stream: TextIO) -> Console:
        from rich.console import Console  # noqa: PLC0415  slow to import

        width = None if stream.isatty() else _WIDE_COLUMNS
        return Console(file=stream, width=width, highlight=False, markup=False)  # it reads NO_COLOR itself

    def _write(self, text: str) -> None:
        self._stdout.write(text + "\n")
        self._stdout.flush()


class _Silent:
    def advance(self, steps: int = 1) -> None:
        """Do nothing."""

    def expect(self, steps: int = 1) -> None:
        """Do nothing."""


class _Bar:
    def __init__(self, bar: Any, task: Any) -> None:
        self._bar, self._task = bar, task
        self._total = 0

    def advance(self, steps: int = 1) -> None:
        """Draw the steps as done."""
        self._bar.advance(self._task, steps)

    def expect(self, steps: int = 1) -> None:
        """Draw a larger total."""
        self._total += steps
        self._bar.update(self._task, total=self._total)


def safe(text: str, keep: str = "") -> str:
    """Return text without what a terminal could obey: each such character as `\\x1b` or `\\u202e`."""
    return _UNSAFE.sub(lambda found: found[0] if found[0] in keep else _escaped(found[0]), text)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _json(value: object, indent: int | None = None) -> str:
    text = json.dumps(value, ensure_ascii=False, indent=indent, default=_plain)
    # json.dumps has escaped the rest; JSON writes these as \u009b.
    return _UNSAFE.sub(lambda found: found[0] if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text)


def _plain(value: object) -> str:
    return rfc3339(value) if isinstance(value, datetime) else str(value)


def cell(value: object) -> str:
    """Return a value as a table shows it: `-` for nothing, a time to the second."""
    if value is None or value == "":
        return "-"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=_plain)
    return str(value)
