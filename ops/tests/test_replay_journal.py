from pathlib import Path

import pytest

from pillarbox_ops.errors import ExitCode, OpsError
from pillarbox_ops.replay_journal import Journal


def test_a_journal_remembers_what_was_sent(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path, "url") as journal:
        assert "a" not in journal
        journal.add(["a", "b"])
        assert "a" in journal
    with Journal(path, "url") as again:
        assert "b" in again
        again.add(["c"])
    assert path.read_text() == "# pillarbox replay to url\na\nb\nc\n"


def test_a_journal_is_on_the_disk_after_each_batch(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal", "url") as journal:
        journal.add(["a"])
        assert "a" in Journal(tmp_path / "journal", "url")


def test_without_a_file_it_remembers_in_memory() -> None:
    with Journal(None, "url") as journal:
        journal.add(["a"])
        assert "a" in journal


@pytest.mark.parametrize("content", [b"# pillarbox replay to other\n", b"anything", b"\xff"])
def test_another_file_is_not_taken_for_a_journal(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal"
    path.write_bytes(content)
    with pytest.raises(OpsError, match="journal") as raised:
        Journal(path, "url")
    assert raised.value.exit_code is ExitCode.USAGE
    assert path.read_bytes() == content


def test_a_journal_that_cannot_be_written_is_an_error_when_it_is_opened(tmp_path: Path) -> None:
    with pytest.raises(OpsError, match="cannot be written as a journal") as raised, Journal(tmp_path / "a/b", "url"):
        pass
    assert raised.value.exit_code is ExitCode.USAGE


def test_a_journal_of_nothing_leaves_no_file_but_keeps_one_that_was_there(tmp_path: Path) -> None:
    with Journal(tmp_path / "new", "url"):
        pass
    (tmp_path / "old").touch()
    with Journal(tmp_path / "old", "url"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
