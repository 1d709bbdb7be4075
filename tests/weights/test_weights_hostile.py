"""Files made to harm, and files that were harmed: refused or loaded right, in little time and memory, nothing run."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from gpen2048.network import NetworkConfig
from gpen2048.weight_files.passthrough import passthrough_state_dict

SMALL_FILES, NETWORK_FILES = 250, 12  # per kind; `make fuzz` takes more


def test_there_are_enough_of_them(malicious: Any) -> None:
    assert len(malicious) >= 20


def test_malicious_files_are_refused_and_run_nothing(malicious: Any, reader: Any, tmp_path: Path) -> None:
    target, path = tmp_path / "target", tmp_path / "evil.pth"
    for name, (make, word) in malicious.items():
        path.write_bytes(make(target))
        answer = reader.read("state", path)
        assert answer["outcome"] == "refused" and word in answer["message"], (name, answer)
        assert str(path) in answer["message"] and not target.exists(), name
        assert not reader.fault(answer, path.stat().st_size, {}, False, 0), (name, answer)


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_damaged_files_are_refused_or_load_right(kind: str, mutation: Any, reader: Any, tmp_path: Path) -> None:
    content = mutation.sound_files(mutation.small_state())[kind]
    _damage("state", content, kind, SMALL_FILES, mutation, reader, tmp_path / "damaged.pth")


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_damaged_networks_take_little_memory(kind: str, mutation: Any, reader: Any, tmp_path: Path) -> None:
    content = mutation.sound_files(passthrough_state_dict(NetworkConfig(64, 1, 0.125)))[kind]
    _damage("network", content, kind, NETWORK_FILES, mutation, reader, tmp_path / "damaged.pth")


def _damage(how: str, content: bytes, kind: str, count: int, mutation: Any, reader: Any, path: Path) -> None:
    path.write_bytes(content)
    reader.read(how, path)  # what is imported on first use takes memory too
    sound = reader.read(how, path)
    assert sound["outcome"] == "loaded" and sound["peak"] <= 3 * len(content) + (16 << 20)
    chance = random.Random(2048)
    outcomes: set[str] = set()
    for _ in range(count):
        what, damaged, changes = mutation.mutate(content, chance)
        path.write_bytes(damaged)
        answer = reader.read(how, path)
        allowed = changes if how == "state" else 10**6  # a number of a checkpoint reaches several folded tensors
        checked = kind in mutation.CHECKED
        wrong = reader.fault(answer, len(damaged), sound["keys"], checked, allowed)
        assert not wrong, (what, wrong)
        outcomes.add(answer["outcome"])
    assert "refused" in outcomes
