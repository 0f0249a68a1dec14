import io
import sys
from datetime import UTC, datetime

import pytest

from pillarbox_ops.changes import agreed
from pillarbox_ops.errors import ExitCode, OpsError
from pillarbox_ops.output import Column, Output

ROWS = [{"id": str(number), "size": number} for number in range(9)]


@pytest.fixture
def err() -> io.StringIO:
    return io.StringIO()


def _agreed(err: io.StringIO, *, yes: bool = False, dry_run: bool = False) -> bool:
    output = Output("jsonl", stdout=io.StringIO(), stderr=err)
    return agreed(output, "delete 9 messages", columns=(Column("id", "ID"),), sample=ROWS, yes=yes, dry_run=dry_run)


class _Typed(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_count_and_five_of_a_sample_come_first(err: io.StringIO) -> None:
    assert _agreed(err, yes=True)
    assert err.getvalue().splitlines() == ["delete 9 messages", *(f"  {number}" for number in range(5))]


def test_a_dry_run_changes_nothing_and_asks_nothing(err: io.StringIO) -> None:
    assert not _agreed(err, dry_run=True)
    assert err.getvalue().startswith("would delete 9 messages\n")


def test_without_a_terminal_and_without_yes_it_refuses(err: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(OpsError, match="pass --yes") as raised:
        _agreed(err)
    assert raised.value.exit_code is ExitCode.USAGE


@pytest.mark.parametrize("typed", ["y\n", "yes\n"])
def test_the_answer_yes_agrees(err: io.StringIO, monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    monkeypatch.setattr(sys, "stdin", _Typed(typed))
    assert _agreed(err)


@pytest.mark.parametrize("typed", ["n\n", "\n"])
def test_any_other_answer_changes_nothing(err: io.StringIO, monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    monkeypatch.setattr(sys, "stdin", _Typed(typed))
    with pytest.raises(OpsError, match="nothing was changed"):
        _agreed(err)


def test_a_sample_shows_values_as_a_table_does(err: io.StringIO) -> None:
    output = Output("jsonl", stdout=io.StringIO(), stderr=err)
    row = {"id": None, "at": datetime(2026, 11, 20, 10, 0, 0, 123000, tzinfo=UTC), "size": 0}
    columns = [Column(key, key) for key in ("id", "at", "size")]
    agreed(output, "delete 1 message", columns=columns, sample=[row], yes=True, dry_run=False)
    assert err.getvalue().splitlines()[1] == "  -  2026-11-20 10:00:00  0"


def test_a_value_cannot_forge_a_line_and_is_cut(err: io.StringIO) -> None:
    output = Output("jsonl", stdout=io.StringIO(), stderr=err)
    rows = [{"about": "a@example.com\ndelete 1 message\r\x1b[2K"}, {"about": "x" * 500}]
    agreed(output, "delete 2 messages", columns=[Column("about", "")], sample=rows, yes=True, dry_run=False)
    assert err.getvalue().splitlines() == [
        "delete 2 messages",
        "  a@example.com\\x0adelete 1 message\\x0d\\x1b[2K",
        "  " + "x" * 100,
    ]
