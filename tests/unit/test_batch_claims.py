"""What a batch may write over, and what it may not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from gpen2048.batch.claims import refuse_others, refuse_unknown
from gpen2048.batch.manifest import Manifest
from gpen2048.batch.picture_jobs import do_pictures
from gpen2048.batch.pictures import Original, Restored, Source
from gpen2048.batch.recipe import Recipe, what_to_do
from gpen2048.batch.sources import find_items
from gpen2048.errors import InvalidOptionError, UnsupportedImageError

RECIPE = Recipe("options", "network")


def reversing(sources: Sequence[Source]) -> list[Restored]:
    """Turns the bytes of files around, but for bad ones."""
    contents = [source.data for source in sources if isinstance(source, Original)]
    return [Restored(error="bad") if data.startswith(b"bad") else Restored(data[::-1]) for data in contents]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, content in {"A/a.png": b"one", "B/a.png": b"two", "in/c.png": b"three"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


def batch(*sources: str, recipe: Recipe = RECIPE) -> list[str]:
    """What is done."""
    out = Path("out")
    items = find_items(sources, out)
    refuse_unknown(items, out)
    with Manifest(out, [item.output for item in items]) as manifest:
        refuse_others(items, manifest)
        todo = [item for item, _ in what_to_do(items, manifest, recipe)]
        do_pictures(manifest, recipe, todo, reversing)
    return [item.output for item in todo]


def lead(link: Path, target: Path) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def test_a_link_that_leads_to_another_picture_now_replaces_nothing(here: Path) -> None:
    link, first = here / "in" / "a.png", here / "A" / "a.png"
    lead(link, first)
    assert batch("in") == ["a.png", "c.png"]
    lead(link, here / "B" / "a.png")
    with pytest.raises(InvalidOptionError) as told:
        batch("in")
    wanted = f"holds what became of {first}, not of in/a.png, which leads to {here / 'B' / 'a.png'}; wanted another"
    assert wanted in str(told.value)
    assert (here / "out" / "a.png").read_bytes() == b"eno"
    first.unlink()
    assert batch("in") == ["a.png"]


def test_a_picture_that_was_moved_behind_its_name_is_the_same(here: Path) -> None:
    """As to another disk, while the old one still holds it."""
    link, moved = here / "in" / "a.png", here / "elsewhere"
    lead(link, here / "A" / "a.png")
    batch("in")
    moved.write_bytes(b"one")
    lead(link, moved)
    assert batch("in") == []
    assert batch("in", recipe=Recipe("other", "network")) == ["a.png", "c.png"]


def test_what_was_made_of_a_picture_replaced_in_place_is_made_again(here: Path) -> None:
    """Editors write anew and rename, also behind a link."""
    lead(here / "in" / "a.png", here / "A" / "a.png")
    batch("in")
    (here / "new").write_bytes(b"edited")
    (here / "new").replace(here / "A" / "a.png")
    assert batch("in") == ["a.png"]


def test_a_failure_keeps_no_name_from_a_later_source(here: Path) -> None:
    (here / "A" / "a.png").write_bytes(b"bad")
    batch("A")
    assert batch("B") == ["a.png"] and (here / "out" / "a.png").read_bytes() == b"owt"
    with pytest.raises(InvalidOptionError, match=r"holds what became of .*B/a\.png, not of A/a\.png"):
        batch("A")


def test_a_failure_over_an_output_of_before_keeps_it(here: Path) -> None:
    batch("A")
    (here / "A" / "a.png").write_bytes(b"bad now")
    assert batch("A") == ["a.png"]
    with pytest.raises(InvalidOptionError, match=r"holds what became of .*A/a\.png, not of B/a\.png"):
        batch("B")
    assert (here / "out" / "a.png").read_bytes() == b"eno"


def test_one_folder_by_two_names_holds_one_output_of_a_name(here: Path) -> None:
    (here / "out" / "B").mkdir(parents=True)
    (here / "out" / "A").symlink_to("B", target_is_directory=True)
    with pytest.raises(UnsupportedImageError, match=r"A/a\.png and B/a\.png would both be written to out/B/a\.png"):
        batch("[AB]/a.png")
    assert batch("A*/a.png") == ["A/a.png"]
    (here / "out" / "manifest.jsonl").rename(here / "kept")
    with pytest.raises(InvalidOptionError, match="is there and not on record"):
        batch("B*/a.png")
    (here / "kept").rename(here / "out" / "manifest.jsonl")
    with pytest.raises(InvalidOptionError, match=r"out/B/a\.png holds what became of .*A/a\.png, not of B/a\.png"):
        batch("B*/a.png")
    assert (here / "out" / "B" / "a.png").read_bytes() == b"eno"
