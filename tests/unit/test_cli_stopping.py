"""Ctrl-C and SIGTERM, wherever they meet the command."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import gpen2048
import pytest
from gpen2048.cancelling import check_cancelled
from gpen2048.cli import inspecting, main
from gpen2048.cli.progress import FaceBar
from gpen2048.cli.stopping import stoppable

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


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
        with stoppable():
            os.kill(os.getpid(), signal.SIGINT)
            check_cancelled("a face")
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_while_packages_are_imported_is_one_line(tmp_path: Path) -> None:
    swallowed = "import os, signal\ntry:\n    os.kill(os.getpid(), signal.SIGINT)\nexcept BaseException:\n    pass\n"
    (tmp_path / "torch.py").write_text(swallowed)  # as some packages do
    paths = os.pathsep.join([str(tmp_path), str(Path(gpen2048.__file__).parents[1])])
    command = [sys.executable, "-m", "gpen2048", "--version"]
    ended = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "gpen2048: interrupted\n")
