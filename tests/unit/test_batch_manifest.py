"""The record of a batch, and what a killed run leaves to the next one."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import gpen2048
import pytest
from gpen2048.batch import picture_jobs
from gpen2048.batch.manifest import Manifest
from gpen2048.batch.outputs import write_part
from gpen2048.batch.pictures import Original, Restored
from gpen2048.batch.recipe import Recipe, what_to_do, why_to_do
from gpen2048.batch.records import Record
from gpen2048.batch.running import run
from gpen2048.batch.sources import Item, find_items
from gpen2048.errors import GpenError
from gpen2048.replacing import unfinished_name

RECIPE = Recipe("options", "network")
PACKAGES = Path(gpen2048.__file__).parents[1]


class Reversing:
    """An engine that turns the bytes of a file around, and fails where they say so."""

    chunk = 2
    busy = None

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def seats(self) -> list[object]:
        return [lambda: self._restore] * 3

    def stop(self) -> None:
        pass

    def _restore(self, originals: list[Original]) -> list[Restored]:
        self.seen += [original.data for original in originals]
        bad = [original.data.startswith(b"bad") for original in originals]
        return [Restored(error="bad") if b else Restored(o.data[::-1], 2, 1, 0.5) for b, o in zip(bad, originals)]


@pytest.fixture
def items(tmp_path: Path) -> list[Item]:
    for number in range(20):
        path = tmp_path / "in" / f"{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"picture %d" % number)
    return find_items([str(tmp_path / "in")], tmp_path / "out")


def batch(items: list[Item], out: Path, recipe: Recipe = RECIPE, **kwargs: bool) -> dict[str, str]:
    """Why each item was done that was."""
    with Manifest(out, [item.output for item in items]) as manifest:
        found = list(what_to_do(items, manifest, recipe, **kwargs))
        list(run([item for item, _ in found], Reversing(), manifest, recipe))
    return {item.output: why for item, why in found}


def lines(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


def test_everything_is_done_once_and_recorded(items: list[Item], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert set(batch(items, out).values()) == {"missing"}
    assert batch(items, out) == {}
    assert all((out / item.output).read_bytes() == item.source.read_bytes()[::-1] for item in items)
    (first,) = [line for line in lines(out) if line["output"] == "0/0.png"]
    assert first["source_hash"] == hashlib.sha256(b"picture 0").hexdigest()
    assert (first["faces"], first["restored"], first["error"], first["output_size"]) == (2, 1, "", 9)
    assert len(lines(out)) == len(items)


def test_missing_changed_and_failed_are_done_again(items: list[Item], tmp_path: Path) -> None:
    out = tmp_path / "out"
    items[1].source.write_bytes(b"bad")
    batch(items, out)
    (out / items[0].output).unlink()
    items[2].source.write_bytes(b"another picture")
    expected = {items[0].output: "missing", items[1].output: "failed", items[2].output: "changed"}
    assert batch(items, out) == expected
    assert batch(items, out) == {items[1].output: "failed"}
    items[1].source.write_bytes(b"mended")
    batch(items, out)
    assert batch(items, out) == {}


@pytest.mark.parametrize("recipe", [Recipe("other", "network"), Recipe("options", "other")])
def test_another_recipe_changes_all(items: list[Item], tmp_path: Path, recipe: Recipe) -> None:
    batch(items, tmp_path / "out")
    assert set(batch(items, tmp_path / "out", recipe).values()) == {"changed"}
    assert batch(items, tmp_path / "out", recipe) == {}


def test_a_touched_source_is_unchanged_and_checksum_sees_through_the_time(items: list[Item], tmp_path: Path) -> None:
    out = tmp_path / "out"
    batch(items, out)
    os.utime(items[0].source, ns=(0, 0))
    assert batch(items, out) == {}
    stat = items[1].source.stat()
    items[1].source.write_bytes(b"pictures X")
    os.utime(items[1].source, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert batch(items, out) == {}
    assert batch(items, out, checksum=True) == {items[1].output: "changed"}


def test_a_source_that_vanishes_is_a_failure_like_any_other(items: list[Item], tmp_path: Path) -> None:
    items[3].source.unlink()
    batch(items, tmp_path / "out")
    assert [line["output"] for line in lines(tmp_path / "out") if line["error"]] == [items[3].output]


@pytest.mark.parametrize("rest", [b'{"output": "0/0.pn', b"\x00" * 100, b'{"output"'])
def test_a_torn_last_line_is_dropped(items: list[Item], tmp_path: Path, rest: bytes) -> None:
    out = tmp_path / "out"
    batch(items, out)
    path = out / "manifest.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + rest)
    assert batch(items, out) == {}
    assert path.read_bytes() == whole


def test_a_line_that_is_no_record_costs_its_picture_only(items: list[Item], tmp_path: Path) -> None:
    out = tmp_path / "out"
    batch(items, out)
    path = out / "manifest.jsonl"
    first, *others = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b'{"source_hash": 3}\n[1]\n' + b"".join(others))
    assert batch(items, out) == {json.loads(first)["output"]: "missing"}


def test_a_whole_output_on_record_gets_its_name_and_an_unknown_one_goes(tmp_path: Path) -> None:
    record = Record("a/b.png", "b.png", "hash", 1, 2, "options", "network")
    known, unknown = write_part(tmp_path / "a" / "b.png", b"whole"), write_part(tmp_path / "a" / "b.png", b"half")
    line = json.dumps({**{f: getattr(record, f) for f in Record.__slots__}, "part": known.name, "output_size": 5})
    (tmp_path / "manifest.jsonl").write_text(line + "\n")
    with Manifest(tmp_path) as manifest:
        assert manifest.get("a/b.png") == replace(record, part=known.name, output_size=5)
    assert (tmp_path / "a" / "b.png").read_bytes() == b"whole"
    assert not known.exists() and not unknown.exists()


def test_what_others_are_writing_beside_a_batch_stays(tmp_path: Path) -> None:
    """As `restore` does, into the same folder."""
    other = unfinished_name(tmp_path / "out" / "film.mp4")
    with Manifest(tmp_path / "out", ["film.mp4"]):
        pass
    other.write_bytes(b"half of it")
    with Manifest(tmp_path / "out", ["film.mp4"]):
        assert other.exists()


FOREIGN = [
    b'{"file": "0.png", "label": 3}\n{"file": "1.p',
    b"\n",
    b"0.png,3\n",
    b'{"output": "0.png", "label": 3}\n',  # a line may begin as ours do
    b'{"output": "0.png", "source": "a.png", "options_hash": 7}\n{"output": "1.png", "label": 3',
    b'{"output": "0.png"}',  # and end the file without an end of the line
    b'{"started": "now"}\n"started options_hash"\n["options_hash", "started"]\n7\n',
]


@pytest.mark.parametrize("rest", FOREIGN)
def test_somebody_elses_manifest_is_left_alone(items: list[Item], tmp_path: Path, rest: bytes) -> None:
    """Data sets have files of that name."""
    path = tmp_path / "out" / "manifest.jsonl"
    path.parent.mkdir()
    path.write_bytes(rest)
    with pytest.raises(GpenError, match=r"manifest\.jsonl is no record of a batch"):
        Manifest(tmp_path / "out")
    assert path.read_bytes() == rest


def test_a_destination_that_goes_away_ends_the_run(items: list[Item], tmp_path: Path) -> None:
    """As the folder of a disk that is unmounted; it is not made anew, without a record."""
    out = tmp_path / "out"
    with Manifest(out) as manifest:
        records = run(items, Reversing(), manifest, RECIPE)
        next(records)
        out.rename(tmp_path / "elsewhere")
        with pytest.raises(GpenError, match="no longer the folder that this run began in"):
            list(records)
    assert not list(out.rglob("*.png"))


@pytest.mark.parametrize("length", [1, 14, 20, 40, 70, -1, None])
@pytest.mark.parametrize("note", [True, False])
def test_a_first_line_that_was_cut_off_is_ours(items: list[Item], tmp_path: Path, length: int, note: bool) -> None:
    out = tmp_path / "out"
    with Manifest(out) as manifest:
        if note:
            manifest.note({"started": "now", "options_hash": "a", "options": {"strength": 1}})
        else:
            manifest.add(Record("0/0.png", 'say "it": 0.png', "hash", 1, 2, "options", "network"))
    path = out / "manifest.jsonl"
    path.write_bytes(path.read_bytes()[:length])
    assert len(batch(items, out)) == len(items)


@pytest.mark.parametrize(
    "wrong", [{"output": 5}, {"source": None}, {"film": 5}, {"source": "a\0b"}, {"frames": "many"}, {"deep": "deep"}]
)
def test_an_edited_line_is_no_record(items: list[Item], tmp_path: Path, wrong: dict[str, object]) -> None:
    out = tmp_path / "out"
    batch(items, out)
    path = out / "manifest.jsonl"
    line = json.dumps({**lines(out)[0], **wrong}).replace('"deep": "deep"', f'"deep": {"[" * 100_000}')
    path.write_text(path.read_text() + line + "\n")
    assert batch(items, out) == {}


def test_two_runs_never_share_a_destination(tmp_path: Path) -> None:
    with Manifest(tmp_path), pytest.raises(GpenError, match="another run"):
        Manifest(tmp_path)
    with Manifest(tmp_path):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="no flock there")
def test_a_file_system_without_locks_is_written_to_with_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import fcntl

    def none(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", none)
    with Manifest(tmp_path):
        assert "no locks on this file system" in caplog.text


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_name_that_is_no_text_is_on_record(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / os.fsdecode(b"caf\xe9.png")).write_bytes(b"picture")
    items = find_items([str(folder)], tmp_path / "out")
    assert set(batch(items, tmp_path / "out").values()) == {"missing"}
    assert batch(items, tmp_path / "out") == {}
    (line,) = lines(tmp_path / "out")
    assert line["output"] == os.fsdecode(b"caf\xe9.png")


def test_sources_are_on_record_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.png").write_bytes(b"picture")
    batch(find_items(["a.png"], Path("out")), Path("out"))
    assert [line["source"] for line in lines(tmp_path / "out")] == [str(tmp_path / "a.png")]


@pytest.mark.skipif(sys.platform == "win32", reason="there the test above is about the real thing")
def test_windows_own_lock_is_asked_for_a_byte_that_no_line_reaches(
    items: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    asked: list[tuple[int, int, int]] = []

    def locking(file: int, mode: int, count: int) -> None:
        """As Microsoft's: `count` bytes from where the file stands, for this handle alone, or OSError at once."""
        asked.append((mode, os.lseek(file, 0, os.SEEK_CUR), count))
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2))
    monkeypatch.setattr(sys, "platform", "win32")
    test_two_runs_never_share_a_destination(tmp_path / "out")
    assert set(asked) == {(2, 2**31 - 2, 1)} and len(asked) == 3
    assert len(batch(items, tmp_path / "out")) == len(items) == len(lines(tmp_path / "out"))


def test_a_full_disk_ends_the_run_and_leaves_whole_lines(
    items: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(target: Path, data: bytes) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(picture_jobs, "write_part", full)
        with pytest.raises(OSError, match="No space"):
            batch(items, tmp_path / "out")
    assert set(batch(items, tmp_path / "out").values()) == {"missing"}


def test_a_full_disk_is_told_with_what_it_does_not_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left.*a\.png") as told:
        write_part(tmp_path / "out" / "a.png", b"picture")
    assert told.value.errno == errno.ENOSPC and list((tmp_path / "out").iterdir()) == []
    with pytest.raises(OSError, match=r"No space left.*manifest\.jsonl"), Manifest(tmp_path, []) as manifest:
        manifest.note({"started": "now"})


def refuse(patch: pytest.MonkeyPatch, method: str, name: str) -> None:
    """Makes a method of Path's fail for files of that name, or renamed to it, as for those marked immutable."""
    original = getattr(Path, method)

    def refusing(path: Path, *others: Path) -> object:
        if name in (path.name, *(other.name for other in others)):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(path))
        return original(path, *others)

    patch.setattr(Path, method, refusing)


def test_an_output_that_cannot_have_its_name_is_the_trouble_of_one_file(items: list[Item], tmp_path: Path) -> None:
    out = tmp_path / "out"
    locked = items[4].output
    with pytest.MonkeyPatch.context() as patch:
        refuse(patch, "replace", Path(locked).name)
        assert len(batch(items, out)) == len(items)
        assert batch(items, out) == {locked: "failed"}
    assert "Operation not permitted" in str([line["error"] for line in lines(out) if line["output"] == locked][-1])
    assert len(list(out.rglob("*.png"))) == len(items) - 1 and not list(out.rglob("*.part"))
    assert batch(items, out) == {locked: "failed"}
    assert batch(items, out) == {}


def test_a_run_that_died_over_such_an_output_is_followed_by_one_that_does_it_again(tmp_path: Path) -> None:
    """Although what lies there, of an earlier run, may be as long."""
    record = Record("a.png", str(tmp_path / "in.png"), "hash", 1, 2, "options", "network", output_size=5)
    (tmp_path / "a.png").write_bytes(b"older")
    part = write_part(tmp_path / "a.png", b"newer")
    line = json.dumps({**{f: getattr(record, f) for f in Record.__slots__}, "part": part.name})
    (tmp_path / "manifest.jsonl").write_text(line + "\n")
    with pytest.MonkeyPatch.context() as patch:
        refuse(patch, "replace", "a.png")
        with Manifest(tmp_path) as manifest:
            assert why_to_do(Item(tmp_path / "in.png", "a.png"), manifest, RECIPE) == "failed"
    assert not part.exists() and (tmp_path / "a.png").read_bytes() == b"older"


def test_what_is_unfinished_and_cannot_be_removed_is_named_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    parts = [write_part(tmp_path / "a.png", b"half") for _ in range(2)]
    refuse(monkeypatch, "unlink", parts[0].name)
    with Manifest(tmp_path, ["a.png"]):
        assert parts[0].name in caplog.text and [part.exists() for part in parts] == [True, False]


VICTIM = """
import io, os, signal, sys
sys.path.insert(0, {packages!r})
from pathlib import Path
step = int(sys.argv[1])

def dying(function):
    # Kills the process before the call on which the count ends.
    def call(*args, **kwargs):
        global step
        step -= 1
        if step == 0:
            if function is write_line and len(args) > 1:
                write_line(args[0], args[1][: len(args[1]) // 2])  # a line that is torn
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return call

import gpen2048.batch.manifest as manifest, gpen2048.batch.picture_jobs as picture_jobs
from gpen2048.batch.pictures import Restored
from gpen2048.batch.recipe import Recipe, what_to_do
from gpen2048.batch.running import run
from gpen2048.batch.sources import find_items

class Line(io.FileIO):
    pass

write_line = io.FileIO.write
Line.write = dying(write_line)
manifest.FileIO = Line
os.fsync = dying(os.fsync)
Path.replace = dying(Path.replace)
Path.unlink = dying(Path.unlink)
picture_jobs.write_part = dying(picture_jobs.write_part)

class Engine:
    chunk, busy = 1, None
    def seats(self): return [lambda: self.restore] * 2
    def stop(self): pass
    def restore(self, originals): return [Restored(o.data[::-1], 1, 1) for o in originals]

items = find_items(["in"], Path("out"))
recipe = Recipe("options", "network")
with manifest.Manifest(Path("out"), [item.output for item in items]) as record:
    todo = [item for item, why in what_to_do(items, record, recipe)]
    list(run(todo, Engine(), record, recipe))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_killed_before_any_step_nothing_is_half_lost_or_done_twice(items: list[Item], tmp_path: Path) -> None:
    """Kills one run before its first step that touches a file, the next before its second …; the last gets through."""
    out = tmp_path / "out"
    code = VICTIM.format(packages=str(PACKAGES))
    wanted = {item.output: item.source.read_bytes()[::-1] for item in items}
    for step in (*range(1, 13), 1000):
        ended = subprocess.run([sys.executable, "-c", code, str(step)], cwd=tmp_path, check=False)
        there = {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*.png")}
        assert there.items() <= wanted.items()
        assert ended.returncode == (0 if step == 1000 else -signal.SIGKILL)
    assert there == wanted
    recorded = [line["output"] for line in lines(out)]
    assert sorted(recorded) == sorted(wanted)
    assert not list(out.rglob("*.part"))
