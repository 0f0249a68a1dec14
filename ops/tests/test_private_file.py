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
