"""What numba compiles for the first time, and what it finds in its cache later."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from contextlib import suppress
from pathlib import Path

import gpen2048
import pytest
from gpen2048.cancelling import Cancelled, cancellable, check_cancelled

pytest.importorskip("numba", reason="needs numba")

PAINT = """
import hashlib, torch
from gpen2048.compiled.numba_passes import NumbaPasses
torch.set_num_threads(1)
def waves(*shape):
    values = torch.sin(torch.arange(torch.Size(shape).numel(), dtype=torch.float32) * 0.7)
    return values.view(*shape).contiguous(memory_format=torch.channels_last)
constants = waves(1, 1, 6, 16)[0]
image, out = waves(1, 3, 4, 8), waves(1, 32, 4, 8)
rgb = (waves(1, 1, 3, 32)[0], constants[0, 0, :3])
NumbaPasses().paint(waves(1, 16, 4, 8), waves(1, 16, 4, 8), constants, rgb, waves(1, 3, 4, 4), 2, image, out)
print(hashlib.sha256(image.numpy().tobytes() + out.numpy().tobytes()).hexdigest())
"""


LET_GO = """
import gc, weakref, torch
from gpen2048 import FaceRestorer
from gpen2048.faces import Face
from gpen2048.inference import Network
from gpen2048.network import NetworkConfig
from gpen2048.weight_files.passthrough import passthrough_state_dict
torch.set_num_threads(1)
gc.disable()
config = NetworkConfig(64, 1, 0.25)
network = Network.from_state_dict(config, passthrough_state_dict(config))
face = Face([30, 20, 60, 60], [[37, 32], [53, 32], [45, 40], [39, 48], [51, 48]], 1.0)
FaceRestorer(network)(torch.rand(3, 90, 100), faces=[face])
kept = weakref.ref(network)
del network
print(kept() is None)
"""


def painted(folder: Path) -> tuple[str, bool]:
    """What a start of its own paints, with its cache in `folder`, and whether it said that it compiles."""
    child = start(PAINT, folder)
    assert len(child.stdout) == 65, child.stderr
    return child.stdout, "compiles its loops" in child.stderr


def start(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What `code` prints in a process of its own, with its cache in `folder`."""
    package = str(Path(gpen2048.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": package, "NUMBA_CACHE_DIR": str(folder)}
    return subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)


def test_a_network_can_be_let_go_after_loops_were_compiled(tmp_path: Path) -> None:
    """Exceptions of numba's, in cycles, would hold it until Python looks for such; later our own."""
    for compiles in (True, False):
        child = start(LET_GO, tmp_path)
        assert ("compiles its loops" in child.stderr) == compiles and child.stdout == "True\n"


def test_the_first_run_computes_the_very_bits_of_later_ones(tmp_path: Path) -> None:
    """Functions that call each other once were other code when they were compiled than when they were loaded."""
    first, told = painted(tmp_path)
    assert told  # while there is something to wait for
    assert list(tmp_path.rglob("*.nbc")), "nothing was cached"
    assert painted(tmp_path) == (first, False)


def test_what_earlier_versions_compiled_is_deleted(tmp_path: Path) -> None:
    painted(tmp_path)
    kept = sorted(tmp_path.rglob("*.nb[ic]"))
    name = kept[0].name
    mark = name[name.rindex("_") + 1 :].partition("-")[0]
    owner, sources = mark[:8], mark[8:]
    assert len(sources) == 8
    earlier = kept[0].with_name(name.replace(mark, owner + "0" * 8))
    others = kept[0].with_name(name.replace(owner, "1" * 8))
    for path in (earlier, others):
        path.touch()
    painted(tmp_path)
    assert earlier.exists() and others.exists(), "looked for, though nothing was compiled"
    for path in tmp_path.rglob(f"*_{mark}-*.nbi"):
        path.unlink()
    painted(tmp_path)
    assert not earlier.exists() and others.exists()
    assert {path for path in kept if path.suffix == ".nbc"} <= set(tmp_path.rglob("*.nbc"))


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_a_file_that_was_cut_off_is_made_anew(kind: str, tmp_path: Path) -> None:
    first, _ = painted(tmp_path)
    sizes = {path: path.stat().st_size for path in tmp_path.rglob(f"*.{kind}")}
    for path in sizes:
        os.truncate(path, 40)
    assert painted(tmp_path)[0] == first
    assert all(path.stat().st_size > size / 2 for path, size in sizes.items())  # names in them vary in length


def test_without_room_for_a_cache_all_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gpen2048.compiled import compiling

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(compiling.FunctionCache, "_save_overload", full)
    assert compiling.compiled(_doubled)(21) == 42


def test_without_a_folder_for_a_cache_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from gpen2048.compiled import compiling

    def nowhere(*_: object) -> None:
        raise RuntimeError("no locator available")

    compiling._announce.cache_clear()
    monkeypatch.setattr(compiling.MendingCache, "__init__", nowhere)
    doubled = compiling.compiled(_doubled)
    assert doubled(21) == 42 and doubled(2.5) == 5
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1 and "at every start, as no folder for them can be written; set NUMBA_CACHE_DIR" in told[0]


class Stop(Exception):  # noqa: N818  a host's own
    """What a host raises."""


@pytest.mark.parametrize("steps", [0, 2])
def test_a_host_may_stop_it_at_any_function(steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And it goes on where it was stopped when it is wanted again."""
    from gpen2048.compiled import compiling

    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path))
    doubled = compiling.compiled(_doubled)
    left = steps

    def check(_: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Stop

    with pytest.raises(Stop), cancellable(check):
        for value in (21, 2.5, 2j):  # three types, three functions
            doubled(value)
    assert left == -1 and len(doubled.signatures) == steps
    assert [doubled(value) for value in (21, 2.5, 2j)] == [42, 5, 4j]


def test_all_threads_are_stopped_though_the_host_says_it_once() -> None:
    told: list[int] = []

    def check(_: str) -> None:
        told.append(1)
        raise Stop

    with pytest.raises(Stop), cancellable(check):
        with pytest.raises(Cancelled):
            check_cancelled("compiling")
        check_cancelled("compiling")
    assert told == [1]
    check_cancelled("compiling")  # nobody asks any more


def test_what_a_stopped_run_held_is_let_go_at_once() -> None:
    def check(_: str) -> None:
        raise Stop

    def run(picture: set[int]) -> None:
        with cancellable(check):
            check_cancelled("compiling")

    picture = {1}
    held = weakref.ref(picture)
    gc.disable()
    try:
        with suppress(Stop):  # pytest.raises would keep it
            run(picture)
        del picture
        assert held() is None
    finally:
        gc.enable()


def _doubled(number):
    return 2 * number
