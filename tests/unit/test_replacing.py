"""Files that take the place of others."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest
from gpen2048.replacing import put_in_place, replacing, unfinished_name


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no such permissions")
def test_who_may_read_a_file_does_not_change(tmp_path: Path) -> None:
    path = tmp_path / "private.png"
    path.write_bytes(b"before")
    path.chmod(0o600)
    with replacing(path) as unfinished:
        unfinished.write_bytes(b"after")
    assert path.read_bytes() == b"after" and _mode(path) == 0o600
    part = unfinished_name(path)
    part.write_bytes(b"film")
    put_in_place(part, path)
    assert path.read_bytes() == b"film" and _mode(path) == 0o600


def test_a_new_file_is_as_the_system_makes_files(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    with replacing(tmp_path / "new") as unfinished:
        unfinished.touch()
    assert _mode(tmp_path / "new") == _mode(tmp_path / "other")


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_bytes(b"before")
    with pytest.raises(KeyError), replacing(path) as unfinished:
        unfinished.write_bytes(b"half")
        raise KeyError
    assert [p.name for p in tmp_path.iterdir()] == ["kept"] and path.read_bytes() == b"before"
