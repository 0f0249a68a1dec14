import io
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox_ops.errors import ExitCode, OpsError
from pillarbox_ops.exporting import export_file, export_folder, export_stream, file_name
from pillarbox_ops.records import ArchivedEmail

from .emails import email_of, id_at


def test_json_lines_keep_every_value_of_the_record() -> None:
    stream = io.BytesIO()
    email = email_of({"email_data": {"n": 12345678901234567890123, "t": "ü\u2028"}})
    assert export_stream([email, email], "jsonl", stream) == 2
    line = f'{{"message_id":"{id_at(0)}","email_data":{{"n":12345678901234567890123,"t":"ü\u2028"}}}}\n'.encode()
    assert stream.getvalue() == line * 2


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "out.mbox"

    def emails() -> Iterator[ArchivedEmail]:
        yield email_of()
        assert not path.exists()

    assert export_file(emails(), "mbox", path) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.mbox"]


def test_nothing_matched_leaves_no_file(tmp_path: Path) -> None:
    assert export_file([], "jsonl", tmp_path / "out") == 0
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("mine")
    with pytest.raises(OpsError, match="exists already") as raised:
        export_file([email_of()], "jsonl", path)
    assert raised.value.exit_code is ExitCode.USAGE
    assert path.read_text() == "mine"


def test_a_folder_gets_one_file_for_each_email(tmp_path: Path) -> None:
    emails = [email_of({"message_id": id_at(0)}), email_of({"message_id": "../../escaped"})]
    assert export_folder(emails, tmp_path / "new" / "folder") == 2
    names = sorted(path.name for path in (tmp_path / "new" / "folder").iterdir())
    assert names == sorted([f"{id_at(0)}.eml", f"{file_name('../../escaped')}.eml"])


@pytest.mark.parametrize("message_id", ["", ".", "..", "a/b", "a\\b", "a\0", "x" * 200, ".hidden", "a\n"])
def test_an_id_that_is_no_plain_name_becomes_its_digest(message_id: str) -> None:
    assert len(file_name(message_id)) == 64
    assert file_name(message_id).isalnum()


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OpsError, match="cannot be written"):
        export_folder([email_of()], tmp_path / "file" / "folder")
    with pytest.raises(OpsError, match="cannot be made"):
        export_file([email_of()], "mbox", tmp_path / "missing" / "out")


@pytest.mark.parametrize("form", ["jsonl", "mbox"])
def test_only_the_owner_can_read_what_is_exported(tmp_path: Path, form: str) -> None:
    export_file([email_of()], form, tmp_path / "out")
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o600
    folder = tmp_path / "folder"
    export_folder([email_of()], folder)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())] == [0o700, 0o600]


def test_a_part_file_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    part, mine = tmp_path / "out.part", tmp_path / "mine"
    mine.write_text("mine")
    part.symlink_to(mine)
    with pytest.raises(OpsError, match=r"out\.part exists already"):
        export_file([email_of()], "jsonl", tmp_path / "out")
    (tmp_path / f"{id_at(0)}.eml.part").symlink_to(mine)
    with pytest.raises(OpsError, match=r"\.eml\.part exists already"):
        export_folder([email_of({"message_id": id_at(0)})], tmp_path)
    assert (part.is_symlink(), mine.read_text()) == (True, "mine")


def test_an_email_that_is_exported_again_replaces_its_file(tmp_path: Path) -> None:
    for _ in range(2):
        assert export_folder([email_of({"message_id": id_at(0)})], tmp_path) == 1
    assert [path.name for path in tmp_path.iterdir()] == [f"{id_at(0)}.eml"]
