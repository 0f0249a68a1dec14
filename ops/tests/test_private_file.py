import errno
import os
import stat
from pathlib import Path

import pytest

from pillarbox_ops import private_file
from pillarbox_ops.errors import OpsError


def test_only_the_owner_can_read_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "new"
    with private_file.create(path) as file:
        file.write("é\n")
    assert path.read_bytes() == "é\n".encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_or_a_link_that_exists_is_left_alone(tmp_path: Path) -> None:
    path, link = tmp_path / "old", tmp_path / "link"
    path.write_text("old")
    link.symlink_to(tmp_path / "elsewhere")
    for existing in (path, link):
        with pytest.raises(OpsError, match="exists already"):
            private_file.create(existing)
    assert path.read_text() == "old"
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OpsError, match="cannot be made: No such file or directory"):
        private_file.create(tmp_path / "missing/new")


def test_a_whole_file_appears_at_its_end_and_only_the_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "new"
    with private_file.whole(path) as file:
        file.write(b"x")
        (part,) = tmp_path.iterdir()
        assert (part.name, stat.S_IMODE(part.stat().st_mode)) == ("new.part", 0o600)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"x"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_a_file_that_does_not_become_whole_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def ending() -> None:
        with private_file.whole(tmp_path / "new") as file:
            file.write(b"x")
            raise error

    with pytest.raises(error):
        ending()
    assert list(tmp_path.iterdir()) == []


def test_a_file_with_nothing_in_it_is_not_kept(tmp_path: Path) -> None:
    with private_file.whole(tmp_path / "new"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["new", "new.part"])
@pytest.mark.parametrize("link", [True, False])
def test_a_whole_file_takes_no_name_that_is_taken(tmp_path: Path, name: str, *, link: bool) -> None:
    taken, elsewhere = tmp_path / name, tmp_path / "elsewhere"
    if link:
        taken.symlink_to(elsewhere)
    else:
        taken.write_text("mine")
    with pytest.raises(OpsError, match="exists already"), private_file.whole(tmp_path / "new") as file:
        file.write(b"x")
    assert list(tmp_path.iterdir()) == [taken]
    assert link or taken.read_text() == "mine"


def test_a_link_that_is_replaced_is_not_followed(tmp_path: Path) -> None:
    path, elsewhere = tmp_path / "new", tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    path.symlink_to(elsewhere)
    with private_file.whole(path, replace=True) as file:
        file.write(b"x")
    assert (path.is_symlink(), path.read_bytes(), elsewhere.read_text()) == (False, b"x", "mine")


def test_a_disk_that_is_full_is_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(OpsError, match="cannot be written: No space left on device"),
        private_file.whole(tmp_path / "a"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []
