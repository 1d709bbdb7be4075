"""Ctrl-C, sent more than once, to a batch whose threads are at work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import gpen2048
import pytest

PACKAGES = Path(gpen2048.__file__).parents[1]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no process sends another SIGINT there")

# One seat writes the first picture for a while, the other is at the second for ever, whatever it is told.
VICTIM = """
import atexit, os, signal, sys, threading, time
from gpen2048.batch.pictures import Restored
from gpen2048.cli import batching
from gpen2048.__main__ import main

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
