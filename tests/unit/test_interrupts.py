"""Ctrl-C and SIGTERM, wherever they meet the command."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import gpen2048
import pytest
from gpen2048.__main__ import main as program
from gpen2048.cancelling import check_cancelled
from gpen2048.cli import inspecting, main
from gpen2048.cli.interrupting import Interrupts
from gpen2048.cli.progress import FaceBar

PACKAGES = Path(gpen2048.__file__).parents[1]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no process sends another SIGINT there")
SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


@pytest.fixture(autouse=True)
def heeded() -> Generator[None]:
    """Ctrl-C, which a suite in the background ignores."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def met_in_a_callback(number: int) -> None:
    """The signal, where what is raised has no way out, as in numba's compiler."""
    ctypes.CFUNCTYPE(None)(lambda: os.kill(os.getpid(), number))()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("number", "code"), SIGNALS)
@pytest.mark.parametrize("step", ["compiling", "a face"])
def test_a_signal_that_a_callback_swallows_ends_the_work_at_its_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int, step: str
) -> None:
    done: list[str] = []

    def work(_: Any) -> int:
        with FaceBar("photo.png") as bar:
            met_in_a_callback(number)
            done.append("first")
            bar.update(0, 1, step) if step == "a face" else check_cancelled(step)
            done.append("second")
        return 0

    monkeypatch.setattr(inspecting, "run", work)
    assert main(["inspect", str(tmp_path)]) == code
    assert done == ["first"]


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_is_not_taken_for_what_it_makes_of_an_import(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    def work(_: Any) -> int:
        try:
            os.kill(os.getpid(), number)
        finally:
            raise ValueError("half a module")

    monkeypatch.setattr(inspecting, "run", work)
    assert main(["inspect", str(tmp_path)]) == code
    assert "half a module" not in capsys.readouterr().err


def test_a_ctrl_c_that_is_ignored_stays_so() -> None:
    """As in the background of a shell's script."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        interrupts = Interrupts()
        with interrupts.handled(is_program=True), interrupts.met_in_work():
            os.kill(os.getpid(), signal.SIGINT)
            check_cancelled("a face")
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_program_that_calls_it_keeps_its_ctrl_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And may call it from a thread, where signals cannot be met."""

    def work(_: Any) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        return 0

    monkeypatch.setattr(inspecting, "run", work)
    monkeypatch.setattr(sys, "argv", ["gpen2048", "inspect", str(tmp_path)])
    assert main() == 130 and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    monkeypatch.setattr(inspecting, "run", lambda _: 7)
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(program()))
    thread.start()
    thread.join()
    assert codes == [7]


def test_ctrl_c_while_packages_are_imported_is_one_line(tmp_path: Path) -> None:
    swallowed = "import os, signal\ntry:\n    os.kill(os.getpid(), signal.SIGINT)\nexcept BaseException:\n    pass\n"
    (tmp_path / "torch.py").write_text(swallowed)  # as some packages do
    paths = os.pathsep.join([str(tmp_path), str(PACKAGES)])
    told = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = [sys.executable, "-c", f"{told}; from gpen2048.__main__ import main; sys.exit(main())", "--version"]
    ended = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "gpen2048: interrupted\n")


# One seat writes the first picture for a while, the other is at the second for ever, whatever it is told.
VICTIM = """
import atexit, os, signal, sys, threading, time
from gpen2048.batch.pictures import Restored
from gpen2048.cli import batching
from gpen2048.__main__ import main

signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a suite in the background ignores it
fsync, is_writing = os.fsync, threading.Event()

def slow(file):
    if threading.current_thread() is not threading.main_thread() and not is_writing.is_set():
        is_writing.set()
        time.sleep(1)
    fsync(file)

class Engine:
    chunk, busy = 1, None
    def seats(self): return [lambda: self.restore] * 2
    def restore(self, originals):
        if originals[0].data == b"second":
            is_writing.wait()
            print("ready", flush=True)
            threading.Event().wait(2 if {ends} else None)
        return [Restored(b"done")]
    def stop(self): print("stopping", flush=True)

os.fsync = slow
batching._engine = lambda *_: Engine()
if {ends}:
    atexit.register(os.kill, os.getpid(), signal.SIGINT)  # while Python ends, which takes it seconds
else:
    atexit.register(print, "Python takes itself apart, under threads that are at work", file=sys.stderr)
sys.argv[1:] = "batch in out --network faces.json --landmarks faces.json".split()
sys.exit(main())
"""


def ended(folder: Path, *, twice: bool) -> tuple[int, str]:
    """Exit code and stderr of a batch that is interrupted at work."""
    (folder / "in").mkdir()
    for name in ("first", "second"):
        (folder / "in" / f"{name}.png").write_bytes(name.encode())
    (folder / "faces.json").write_text("[]")
    command = [sys.executable, "-c", VICTIM.format(ends=not twice)]
    environment = {**os.environ, "PYTHONPATH": str(PACKAGES)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True) as child:
        assert child.stdout is not None
        for word in ("ready", "stopping") if twice else ("ready",):
            while child.stdout.readline() not in ("", f"{word}\n"):
                pass
            child.send_signal(signal.SIGINT)
        return child.wait(60), child.communicate()[1]


def test_a_second_ctrl_c_waits_for_what_is_being_written_alone(tmp_path: Path) -> None:
    assert ended(tmp_path, twice=True) == (130, "gpen2048: interrupted\n")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"first.png", "manifest.jsonl"}
    assert (tmp_path / "out" / "first.png").read_bytes() == b"done"
    assert '"output": "first.png"' in (tmp_path / "out" / "manifest.jsonl").read_text()


def test_a_second_ctrl_c_after_the_work_changes_nothing(tmp_path: Path) -> None:
    assert ended(tmp_path, twice=False) == (130, "gpen2048: interrupted\n")
    assert not list((tmp_path / "out").glob(".*"))
