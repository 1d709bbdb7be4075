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


COMFYUI = "/home/me/ComfyUI/custom_nodes/gpen-2048"  # ComfyUI's name for a package is its folder's path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package without caches."""
    pytest.importorskip("numba")
    copy = tmp_path_factory.mktemp("package") / "gpen2048"
    shutil.copytree(Path(gpen2048.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def caches_after_a_start(folder: Path, name: str) -> dict[str, int]:
    """When each cache was written, after the package was used under `name` in a process of its own."""
    command = [sys.executable, "-c", CHOICE, name, str(folder)]
    child = subprocess.run(command, capture_output=True, text=True, check=True)
    assert child.stdout.split() == ["NumbaPasses"], child.stderr
    return {path.name: path.stat().st_mtime_ns for path in folder.rglob("*.nb?")}


def test_one_folder_serves_under_several_names(folder: Path) -> None:
    """A host compiles once, not at every start; and what it compiled is not read under another name."""
    first = caches_after_a_start(folder, COMFYUI)
    assert first
    assert caches_after_a_start(folder, COMFYUI) == first
    both = caches_after_a_start(folder, "gpen2048")
    assert len(both) == 2 * len(first)


def test_a_change_of_a_shared_source_compiles_everything_again(folder: Path) -> None:
    """numba itself would take no notice: it looks at the file of the cached function, not at those it calls."""
    first = caches_after_a_start(folder, "gpen2048")
    with (folder / "compiled" / "numba_lanes.py").open("a") as file:
        file.write("# changed\n")
    assert caches_after_a_start(folder, "gpen2048").keys() - first.keys()
