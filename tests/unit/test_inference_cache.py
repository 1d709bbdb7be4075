"""Compiled passes are cached on disk, and the same folder may be a host's extension under another name."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import gpen2048
import pytest

CHOICE = """
import importlib, sys, types, torch
name, folder = sys.argv[1:]
package = types.ModuleType(name)
package.__path__ = [folder]
sys.modules[name] = package
choice = importlib.import_module(name + ".choice")
print(type(choice.passes_for(torch.device("cpu"), torch.float32)).__name__)
"""


def test_one_folder_serves_under_two_names(tmp_path: Path) -> None:
    """What is compiled under a host's name must not be read under the package's own, nor the other way round."""
    pytest.importorskip("numba")
    folder = tmp_path / "gpen2048"
    shutil.copytree(Path(gpen2048.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("a_host", "gpen2048", "another_host"):
        child = subprocess.run(
            [sys.executable, "-c", CHOICE, name, str(folder)], capture_output=True, text=True, check=True
        )
        assert child.stdout.split() == ["NumbaPasses"], child.stderr
    assert list((folder / "__pycache__").glob("*.nbi"))
