import io
import json
from datetime import UTC, datetime

import pytest

from pillarbox_ops.output import Column, Output, safe

COLUMNS = (Column("id", "ID"), Column("size", "SIZE", right=True))


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_default_is_a_table_on_a_terminal_and_json_lines_elsewhere() -> None:
    assert Output(stdout=_Terminal()).format == "table"
    assert Output(stdout=io.StringIO()).format == "jsonl"


def test_json_lines_have_all_keys_and_json_is_one_document() -> None:
    rows: list[dict[str, object]] = [{"id": "a", "at": datetime(2026, 11, 1, tzinfo=UTC)}, {"id": "b", "at": None}]
    lines, document = io.StringIO(), io.StringIO()
    assert Output("jsonl", stdout=lines).rows(COLUMNS, iter(rows)) == 2
    assert Output("json", stdout=document).rows(COLUMNS, iter(rows)) == 2
    expected = [{"id": "a", "at": "2026-11-01T00:00:00.000Z"}, {"id": "b", "at": None}]
    assert [json.loads(line) for line in lines.getvalue().splitlines()] == expected
    assert json.loads(document.getvalue()) == expected


def test_an_empty_result_is_an_empty_list_in_json_and_nothing_in_a_table() -> None:
    document, table = io.StringIO(), io.StringIO()
    assert Output("json", stdout=document).rows(COLUMNS, []) == 0
    assert Output("table", stdout=table).rows(COLUMNS, []) == 0
    assert (document.getvalue(), table.getvalue()) == ("[]\n", "")


def test_a_table_has_titles_and_a_dash_for_what_is_empty() -> None:
    out = io.StringIO()
    Output("table", stdout=out).rows(COLUMNS, [{"id": "a", "size": 12}, {"id": "", "size": None}])
    assert [line.split() for line in out.getvalue().splitlines()] == [["ID", "SIZE"], ["a", "12"], ["-", "-"]]


def test_an_id_is_not_broken_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    out, row = _Terminal(), {"id": "i" * 36, "key": "k" * 90}
    Output("table", stdout=out).rows((Column("id", "ID", whole=True), Column("key", "KEY")), [row])
    assert "i" * 36 in out.getvalue()


@pytest.mark.parametrize("text", ["\x1b[2J", "\x9b31m", "a\u202eb", "\x07"])
def test_a_table_holds_nothing_that_a_terminal_could_obey(text: str) -> None:
    out = io.StringIO()
    Output("table", stdout=out).rows((Column("s", "S"),), [{"s": text}])
    assert text not in out.getvalue()


@pytest.mark.parametrize("text", ["\x1b[2J", "\x9b31m", "a\u202eb", "\x7f"])
def test_json_escapes_what_a_terminal_could_obey_and_keeps_its_value(text: str) -> None:
    out = io.StringIO()
    Output("jsonl", stdout=out).rows((), [{"s": text}])
    assert text not in out.getvalue()
    assert json.loads(out.getvalue()) == {"s": text}


def test_markup_of_the_table_library_is_shown_and_not_obeyed() -> None:
    out = io.StringIO()
    Output("table", stdout=out).rows((Column("s", "S"),), [{"s": "[bold]x[/bold]"}])
    assert "[bold]x[/bold]" in out.getvalue()


def test_notes_and_progress_never_reach_standard_output() -> None:
    out, err = io.StringIO(), io.StringIO()
    output = Output("jsonl", stdout=out, stderr=err)
    output.note("a note")
    with output.progress("reading", 10) as progress:
        progress.advance()
    assert (out.getvalue(), err.getvalue()) == ("", "a note\n")


def test_progress_is_drawn_on_a_terminal() -> None:
    err = _Terminal()
    with Output(stdout=io.StringIO(), stderr=err).progress("reading", 10) as progress:
        progress.advance(4)
    assert "4/10" in err.getvalue()


def test_a_total_that_is_not_known_at_first_grows() -> None:
    err = _Terminal()
    with Output(stdout=io.StringIO(), stderr=err).progress("reading", None) as progress:
        progress.expect(6)
        progress.advance(4)
        progress.expect(2)
    assert "4/8" in err.getvalue()


def test_no_bar_is_drawn_between_json_lines_on_one_terminal() -> None:
    err = _Terminal()
    with Output("jsonl", stdout=_Terminal(), stderr=err).progress("reading", 1) as progress:
        progress.expect()
        progress.advance()
    assert err.getvalue() == ""


def test_bytes_are_written_unchanged_and_on_a_terminal_made_safe() -> None:
    raw, terminal = io.TextIOWrapper(io.BytesIO()), _Terminal()
    Output(stdout=raw).data(b"\xff\x1b[2J\r\n")
    Output(stdout=terminal).data(b"\xff\x1b[2J")
    assert raw.buffer.getvalue() == b"\xff\x1b[2J\r\n"
    assert terminal.getvalue() == "\ufffd\\x1b[2J\n"


def test_only_a_table_on_a_terminal_is_drawn_again() -> None:
    terminal = _Terminal()
    assert Output(stdout=terminal).redraws
    assert not Output("jsonl", stdout=terminal).redraws
    assert not Output("table", stdout=io.StringIO()).redraws
    Output(stdout=terminal).clear()
    assert terminal.getvalue() == "\x1b[H\x1b[2J"


def test_no_color_leaves_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    out = _Terminal()
    Output("table", stdout=out).rows(COLUMNS, [{"id": "a"}])
    assert "\x1b[3" not in out.getvalue()


def test_safe_keeps_what_it_is_told_to_keep() -> None:
    assert safe("a\nb\x1bc", keep="\n") == "a\nb\\x1bc"


def test_a_lone_surrogate_can_be_written_in_each_form() -> None:
    for form, text in (("jsonl", '"\\ud800"'), ("table", "\\ud800")):
        out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
        Output(form, stdout=out).rows((Column("s", "S"),), [{"s": "\ud800"}])  # type: ignore[arg-type]
        out.seek(0)
        assert text in out.read()


@pytest.mark.parametrize(("terminal", "shown"), [(True, "text\n"), (False, "")])
def test_a_hint_is_for_a_terminal_only(monkeypatch: pytest.MonkeyPatch, *, terminal: bool, shown: str) -> None:
    err = io.StringIO()
    monkeypatch.setattr(err, "isatty", lambda: terminal)
    Output("jsonl", stderr=err).hint("text")
    assert err.getvalue() == shown
