"""What the benchmarks count and tell, from seconds that were measured or made up; nothing is measured here."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from gpen2048.cli.stages import STAGES, Seconds

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a module of the benchmarks by its name."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module


@pytest.fixture
def page(load: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The module page, on a copy of the results."""
    pytest.importorskip("matplotlib")
    module = load("page")
    shutil.copytree(RESULTS, tmp_path / "results")
    monkeypatch.setattr(load("timing"), "RESULTS", tmp_path / "results")
    for owner in (module, load("sections")):
        monkeypatch.setattr(owner, "PLOTS", tmp_path / "results" / "plots")
    monkeypatch.setattr(module, "PAGE", tmp_path / "README.md")
    return module


def test_all_stages_count_where_the_network_only_returns_its_input(load: Any) -> None:
    stages = {stage: {"wall": 1.0, "processor": 2.0} for stage in STAGES}
    network = {"wall": 10.0, "processor": 10.0}
    assert load("figures").share(stages, network, 2) == {"wall": 5 / 20, "processor": 10 / 20}


def test_growth_counts_all_stages(load: Any) -> None:
    seconds = dict.fromkeys(STAGES, Seconds(1.0, 2.0))
    restorer = SimpleNamespace(restore=lambda *_: SimpleNamespace(faces=[1]), seconds=seconds)
    row = load("growth")._measure(restorer, torch.zeros(3, 8, 8), None, 1)
    assert row["around"] == {"wall": len(STAGES), "processor": 2 * len(STAGES)}


def test_the_page_has_the_shares_of_its_results(load: Any) -> None:
    page, share = (ROOT / "benchmarks" / "README.md").read_text("utf-8"), load("figures").share
    shown = [path for path in RESULTS.glob("pipeline-*.json") if path.name in page]
    assert shown
    for path in shown:
        result = json.loads(path.read_text())
        for label, picture in result["pictures"].items():
            parts = share(picture["stages"]["gpen2048"], result["network"], picture["faces"])
            counted = " | ".join(f"{part:.1%}" for part in parts.values())
            row = f"| {label} | {picture['faces']} | gpen2048 | **share of the network's time** |  | {counted} |"
            assert row in page, path.name


def test_the_processors_ratio_is_of_user_and_system_time(page: Any) -> None:
    slow = {"wall": 4.0, "user": 2.0, "system": 2.0}
    fast = {"wall": 1.0, "user": 1.0, "system": 0.0, "wall_speedup": {"median": 4.0}}
    run = {"size": 512, "batch": 1, "against": {"reference": {"reference": slow, "float32": fast}}}
    assert page._network_row(run, "reference", "float32")[6:8] == ["4.00x", "4.00x"]


def test_the_page_tells_what_each_found_and_keeps_what_was_measured_by_hand(page: Any) -> None:
    by_hand = json.loads((RESULTS / "by-hand-cuda-2026-11-27.json").read_text())
    row = {"precision": "float16", "size": 2048, "part": "grow", "library_ms": 2.0, "fused_ms": 1.0}
    newer = {"machine": {**by_hand["machine"], "date": "2026-12-01"}, "levels": [row]}
    (page.PAGE.parent / "results" / "levels-cuda-2026-12-01.json").write_text(json.dumps(newer))
    page.main()
    told = page.PAGE.read_text("utf-8")
    assert "| 2048 | grow | float16 | 2.000 | 1.000 | 2.00x |" in told
    assert "| bfr-2048 | tf32, fused (given up) |" in told and "| 2048 | x1 | float16 | replayed | 3.671 |" in told
    assert "| selfie | 1 | facexlib | detection | 0 |" in told
    assert "| selfie | 1 | facexlib | detection at 640 px | 1 |" in told


def test_make_benchmark_asks_for_the_detector_first(tmp_path: Path) -> None:
    if shutil.which("make") is None:
        pytest.skip("needs make")
    detector = tmp_path / "detector.pth"
    detector.touch()
    clean = {key: value for key, value in os.environ.items() if key not in ("DETECTOR", "MAKEFLAGS", "MFLAGS")}

    def make(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["make", "-f", str(ROOT / "Makefile"), *arguments]
        return subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True)

    refused = make("detector")
    assert refused.returncode and "DETECTOR=FILE" in refused.stdout
    assert make("detector", f"DETECTOR={detector}").returncode == 0
    (tmp_path / "pyproject.toml").touch()
    planned = make("--dry-run", "benchmark").stdout
    assert planned.index("DETECTOR=FILE") < planned.index("network.py")
