"""What a batch takes its sources to be."""

from __future__ import annotations

from pathlib import Path

import pytest
from gpen2048.batch.sources import Item, find_items
from gpen2048.errors import UnsupportedImageError


@pytest.fixture(autouse=True)
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pictures in folders, with files that are none, hidden ones, and outputs of an earlier run among them."""
    names = ["in/1.png", "in/a/2.JPG", "in/a/b/3.bmp", "in/notes.txt", "in/.hidden.png", "in/.cache/4.png",
             "in/out/1.png", "other/1.png"]  # fmt: skip
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def outputs(*sources: str, destination: str = "in/out") -> list[str]:
    return [item.output for item in find_items(sources, Path(destination))]


def test_a_folder_stands_for_all_pictures_below_it_but_not_for_outputs() -> None:
    assert outputs("in") == ["1.png", "a/2.JPG", "a/b/3.png"]


def test_a_pattern_keeps_what_is_below_its_fixed_part() -> None:
    assert outputs("in/**/*.*") == ["1.png", "a/2.JPG", "a/b/3.png"]
    assert outputs("in/*/*.JPG") == ["a/2.JPG"]
    assert outputs("in/a/2*") == ["2.JPG"]


def test_a_list_keeps_relative_paths(tree: Path) -> None:
    (tree / "list.txt").write_text(f"in/1.png\n\n{tree}/other/1.png\nin/a\n")
    assert outputs("@list.txt") == ["in/1.png", "1.png", "2.JPG", "b/3.png"]


def test_a_source_named_twice_is_one_item() -> None:
    assert find_items(["in/1.png", "in/1.png"], Path("d")) == [Item(Path("in/1.png"), "1.png")]


@pytest.mark.parametrize(
    ("sources", "destination", "wanted"),
    [
        (["nowhere"], "d", "nowhere: nothing there"),
        (["in/*.gif"], "d", "nothing there"),
        (["in/.cache/.."], "in", "over itself"),
        (["in/1.png", "other/1.png"], "d", "would both be written to d/1.png"),
    ],
)
def test_what_cannot_be_is_named(sources: list[str], destination: str, wanted: str) -> None:
    with pytest.raises(UnsupportedImageError, match=wanted):
        find_items(sources, Path(destination))


def test_a_list_that_is_none_is_named(tree: Path) -> None:
    (tree / "list.bin").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UnsupportedImageError, match="one source a line"):
        find_items(["@list.bin"], Path("d"))
