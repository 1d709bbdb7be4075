"""What a batch takes its sources to be."""

from __future__ import annotations

import glob
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from gpen2048.batch.manifest import Manifest
from gpen2048.batch.patterns import matches
from gpen2048.batch.picture_jobs import do_pictures
from gpen2048.batch.pictures import Restored
from gpen2048.batch.recipe import Recipe
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


def test_pipes_in_a_folder_are_passed_over(tree: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no pipes among its files")
    before = find_items(["in"], Path("out"))
    os.mkfifo("in/pipe.png")
    assert find_items(["in"], Path("out")) == before


def test_a_pipe_that_is_named_is_refused(tree: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no pipes among its files")
    os.mkfifo("pipe.mp4")
    with pytest.raises(UnsupportedImageError, match=r"^pipe\.mp4: no file but a device or a pipe; wanted a file"):
        find_items(["in", "pipe.mp4"], Path("out"))


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a.flv", "a.mkv"),
        ("a.vob", "a.mkv"),
        ("a.OGV", "a.mkv"),
        ("a.m2ts", "a.mkv"),
        ("a.3gp", "a.mov"),
        ("a.3g2", "a.mov"),
    ],
)
def test_films_of_many_suffixes_are_found_and_named_as_what_can_be_written(tree: Path, name: str, written: str) -> None:
    (tree / "films").mkdir()
    (tree / "films" / name).touch()
    (item,) = find_items(["films"], Path("out"))
    assert item.is_film and item.output == written


def test_a_pattern_keeps_what_is_below_its_fixed_part() -> None:
    assert outputs("in/**/*.*") == ["1.png", "a/2.JPG", "a/b/3.png"]
    assert outputs("in/*/*.JPG") == ["a/2.JPG"]
    assert outputs("in/a/2*") == ["2.JPG"]


def test_a_pattern_of_any_depth_follows_no_links(tree: Path) -> None:
    """One to a folder above would show every picture forty times."""
    (tree / "in" / "a" / "loop").symlink_to(tree / "in", target_is_directory=True)
    (tree / "link").symlink_to(tree / "in", target_is_directory=True)
    assert outputs("in/**/*.*") == ["1.png", "a/2.JPG", "a/b/3.png"]
    assert outputs("link/**/*.*", destination="d") == ["1.png", "a/2.JPG", "a/b/3.png", "out/1.png"]
    assert outputs("lin[k]/*.png", destination="d") == ["link/1.png"]  # a link at a level that is spelled out
    assert outputs("in/a/*/1.png", destination="d") == ["loop/1.png"]


def test_a_list_keeps_relative_paths(tree: Path) -> None:
    (tree / "list.txt").write_text(f"in/1.png\n\n{tree}/other/1.png\nin/a\n")
    assert outputs("@list.txt") == ["in/1.png", "1.png", "2.JPG", "b/3.png"]


def test_names_in_a_list_end_with_their_line_alone(tree: Path) -> None:
    """Python's splitlines cuts at more: U+2028, which chat programs put into names."""
    shutil.copy(tree / "in" / "1.png", tree / "in" / "a\u2028b\x0b.png")
    (tree / "list.txt").write_bytes("in/a\u2028b\x0b.png\r\nin/1.png".encode())
    assert outputs("@list.txt") == ["in/a\u2028b\x0b.png", "in/1.png"]


def test_an_empty_name_is_not_the_folder_one_is_in(tree: Path) -> None:
    with pytest.raises(UnsupportedImageError, match="a source has an empty name"):
        find_items([""], Path("d"))
    with pytest.raises(UnsupportedImageError, match=r"a NUL in its name, 'i\\x00n'; .* lists in UTF-8"):
        find_items(["i\0n"], Path("d"))


def test_a_source_named_twice_is_one_item(tree: Path) -> None:
    for again in ("in/1.png", str(tree / "in/1.png"), "in/a/../1.png"):
        assert find_items(["in/1.png", again], Path("d")) == [Item(Path("in/1.png"), "1.png")]


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


def test_an_output_that_is_another_source_is_refused(tmp_path: Path) -> None:
    for folder in ("in/sub", "out/sub"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "x.jpg").touch()
    sources = [str(tmp_path / "in"), str(tmp_path / "out/sub/x.jpg")]
    with pytest.raises(UnsupportedImageError, match=r"would be written over .*x\.jpg, another source"):
        find_items(sources, tmp_path / "out")


def test_an_output_that_is_a_folder_is_refused(tree: Path) -> None:
    (tree / "d" / "1.png").mkdir(parents=True)
    with pytest.raises(UnsupportedImageError, match=r"1\.png is a folder; wanted another destination"):
        find_items(["in/1.png"], Path("d"))


@pytest.mark.parametrize("pattern", ["", "**/*.png", "s*/*.png", "*/**"])
def test_folders_that_cannot_be_listed_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str) -> None:
    for folder in (tmp_path, tmp_path / "sub", tmp_path / "there"):
        folder.mkdir(exist_ok=True)
        (folder / "a.png").touch()
    listed = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UnsupportedImageError, match=r"sub: Permission denied; wanted a folder that can be read"):
        find_items([str(tmp_path / pattern)], tmp_path / "out")
    assert find_items([str(tmp_path / "t*" / "*.png")], tmp_path / "out")  # which need not look there
    assert find_items([str(tmp_path / "**" / "*.png")], tmp_path / "sub")  # nor below the destination


def test_files_in_a_folder_that_may_not_be_searched_are_sources_whose_reading_fails(
    tree: Path, monkeypatch: pytest.MonkeyPatch, unsearchable: Any
) -> None:
    """Such a folder (r--) may be listed, and nothing more."""
    folder = tree / "in" / "a" / "b"
    unsearchable(monkeypatch, folder)
    wanted = ["1.png", "a/2.JPG", "a/b/3.png"]
    assert outputs(str(tree / "in")) == wanted == outputs(str(tree / "in/**/*.*"))
    assert outputs(f"{folder}/*.bmp") == ["3.png"]
    items = find_items([str(tree / "in/1.png"), f"{folder}/3.bmp"], Path("d"))
    with Manifest(tree / "d") as manifest:
        records = do_pictures(manifest, Recipe("options", "network"), items, lambda _: [Restored(b"done")])
    assert [(record.output, record.error) for record in records] == [
        ("1.png", ""),
        ("3.png", "Permission denied; wanted a file that can be read"),
    ]


def test_a_link_that_leads_to_itself_is_passed_over(tree: Path) -> None:
    (tree / "in" / "me").symlink_to("me")
    (tree / "d").mkdir()
    (tree / "d" / "me.png").symlink_to("me.png")
    found = find_items(["in/*/*", "in/**/*.png"], Path("d"))
    assert found and all("me" not in item.output for item in found)


def test_a_pattern_matches_what_glob_does(tree: Path) -> None:
    """Whose `**` follows links, as ours does not, and so would not come to an end here."""
    for name in ("in/a/[1].png", "in/b.png/c.png", "in/a/..png"):
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).touch()
    patterns = [
        "in/*",
        "in/*/*",
        "*/*.png",
        "in/**",
        "in/**/*",
        "**",
        "**/a/*",
        "in/**/b/**/*.bmp",
        "in/[!a]*",
        "*/1.png",
    ]
    patterns += ["in/a/[[]1].png", "in/.*", "in/.*/*", "in/?.png", "in/*/../*.png", "./in/*.png", "no*", "in/1.png/*"]
    for pattern in (*patterns, *(str(tree / pattern) for pattern in patterns)):
        wanted = {path for name in glob.glob(pattern, recursive=True) if (path := Path(name)).is_file()}
        assert [path for path in matches(pattern, Path("/nowhere")) if path.is_file()] == sorted(wanted, key=str)
    for name in ("up", "again"):
        (tree / "in" / "a" / name).symlink_to(tree / "in", target_is_directory=True)
    assert outputs("in/**/*.*") == ["1.png", "a/2.JPG", "a/[1].png", "a/b/3.png", "b.png/c.png"]


def test_sources_may_lie_below_the_destination(tree: Path) -> None:
    """Only what is found there is passed over."""
    assert outputs("other/*.png", destination=".") == ["1.png"] == outputs("other", destination=".")
    assert outputs("in/**/*.png", destination=".") == ["1.png", "out/1.png"]
    with pytest.raises(UnsupportedImageError, match=r"in/1\.png would be written over itself"):
        outputs("*/*.png", destination=".")


def test_a_list_may_begin_with_a_mark_of_its_encoding(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "list.txt").write_text(str(tmp_path / "a.png"), encoding="utf-8-sig")
    (item,) = find_items([f"@{tmp_path / 'list.txt'}"], tmp_path / "out")
    assert item.source == tmp_path / "a.png"
