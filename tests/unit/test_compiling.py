"""What numba compiles for the first time, and what it finds in its cache later."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import gpen2048
import pytest

pytest.importorskip("numba", reason="needs numba")

PAINT = """
import hashlib, torch
from gpen2048.numba_passes import NumbaPasses
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


def test_the_first_run_computes_the_very_bits_of_later_ones(tmp_path: Path) -> None:
    """Functions that call each other once were other code when they were compiled than when they were loaded."""
    package = str(Path(gpen2048.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": package, "NUMBA_CACHE_DIR": str(tmp_path)}
    results: list[str] = []
    for told in (True, False):
        command = [sys.executable, "-c", PAINT]
        child = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        assert ("compiles its loops" in child.stderr) == told  # said while there is something to wait for
        results.append(child.stdout)
        assert list(tmp_path.rglob("*.nbc")), "nothing was cached"
    assert results[0] == results[1] and len(results[0]) == 65
