"""install.py and preload.py, and where to compute."""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

PROJECT = Path(__file__).parents[3]


def load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"checked_{name}", PROJECT / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Launch:
    """A1111's launch module; `has` is what is installed."""

    def __init__(self, has: set[str], offline: bool = False):
        self.has, self.offline = has, offline
        self.commands: list[str] = []

    def is_installed(self, name: str) -> bool:
        return name in self.has

    def run_pip(self, command: str, what: str) -> None:
        self.commands.append(command)
        if self.offline:
            raise RuntimeError(f"Couldn't install {what}.\nCommand: pip {command}")


def test_nothing_is_installed_where_nothing_is_missing() -> None:
    launch = Launch({"cv2", "facexlib", "safetensors"})
    load("install").install_missing(launch)
    assert launch.commands == []


def test_only_what_is_missing_and_never_its_dependencies() -> None:
    launch = Launch({"cv2", "safetensors"})
    load("install").install_missing(launch)
    assert launch.commands == ['install --no-deps "facexlib>=0.3.0"']


def test_offline_it_says_so_and_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    launch = Launch(set(), offline=True)
    load("install").install_missing(launch)
    assert len(launch.commands) == 3
    assert "GPEN-2048 needs facexlib" in capsys.readouterr().out


def test_silent_outside_the_family() -> None:
    done = subprocess.run([sys.executable, str(PROJECT / "install.py")], capture_output=True, text=True, check=True)
    assert done.stdout == done.stderr == ""


def test_the_flag_for_the_models_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    paths = ModuleType("modules.paths_internal")
    paths.__dict__.update(models_path=str(tmp_path), normalized_filepath=lambda path: str(Path(path).absolute()))
    monkeypatch.setitem(sys.modules, "modules", ModuleType("modules"))
    monkeypatch.setitem(sys.modules, "modules.paths_internal", paths)
    parser = argparse.ArgumentParser()
    load("preload").preload(parser)
    assert parser.parse_args([]).gpen_models_path == str(tmp_path / "GPEN")
    assert parser.parse_args(["--gpen-models-path", "/a/b"]).gpen_models_path == "/a/b"


def test_no_flag_where_the_host_has_no_such_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "modules", ModuleType("modules"))
    monkeypatch.setitem(
        sys.modules, "modules.paths_internal", ModuleType("modules.paths_internal")
    )  # SD.Next's is empty
    parser = argparse.ArgumentParser()
    load("preload").preload(parser)
    assert vars(parser.parse_args([])) == {}


@pytest.mark.parametrize(("use_cpu", "expected"), [([], "cuda"), (["sd"], "cuda"), (["gpen"], "cpu"), (["all"], "cpu")])
def test_the_devices_the_user_chose(host: Any, use_cpu: list[str], expected: str) -> None:
    host.shared.cmd_opts.use_cpu = use_cpu
    host.devices.get_device_for = lambda task: torch.device("cuda")  # the Forge family never looks at --use-cpu
    assert host.device.working_device().type == expected


def test_a_host_without_get_device_for(host: Any) -> None:
    host.shared.cmd_opts.use_cpu = None
    del host.devices.get_device_for  # SD.Next
    assert host.device.working_device().type == "cpu"


@pytest.mark.parametrize(
    ("wanted", "no_half", "card", "expected"),
    [
        ("automatic", False, ("NVIDIA GeForce RTX 3060", (8, 6)), torch.float16),
        ("automatic", True, ("NVIDIA GeForce RTX 3060", (8, 6)), torch.float32),
        ("automatic", False, ("NVIDIA GeForce GTX 1660", (7, 5)), torch.float32),
        ("automatic", False, ("NVIDIA GeForce GTX 1080", (6, 1)), torch.float32),
        ("automatic", False, ("NVIDIA T1000 8GB", (7, 5)), torch.float32),
        ("fp32", False, ("NVIDIA GeForce RTX 3060", (8, 6)), torch.float32),
        ("fp16", True, ("NVIDIA GeForce GTX 1660", (7, 5)), torch.float16),
    ],
)
def test_half_precision_only_where_it_is_safe(
    host: Any, monkeypatch: pytest.MonkeyPatch, wanted: str, no_half: bool, card: Any, expected: torch.dtype
) -> None:
    name, capability = card
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    host.devices.dtype = torch.float32 if no_half else torch.float16
    assert host.device.working_precision(torch.device("cuda"), wanted) == expected
    assert host.device.working_precision(torch.device("cpu"), wanted) == torch.float32


@pytest.mark.parametrize("name", ["backend.memory_management", "ldm_patched.modules.model_management"])
def test_the_forge_family_is_asked_for_room_and_precision(
    host: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    asked: list[Any] = []
    manager = ModuleType(name)
    manager.__dict__.update(free_memory=lambda *a: asked.append(a), should_use_fp16=lambda device: False)
    parts = name.split(".")
    for end in range(1, len(parts)):
        monkeypatch.setitem(sys.modules, ".".join(parts[:end]), ModuleType(parts[end - 1]))
    monkeypatch.setitem(sys.modules, name, manager)
    host.devices.dtype = torch.float16
    cuda = torch.device("cuda")
    with host.device.room(5000, cuda):
        assert asked == [(5000, cuda)]
    assert host.device.working_precision(cuda) == torch.float32


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:1"])
@pytest.mark.parametrize(("free", "moves"), [(10_000, []), (100, ["to cpu", "to device"])])
def test_a1111s_checkpoint_steps_aside_and_comes_back(
    host: Any, monkeypatch: pytest.MonkeyPatch, free: int, moves: list[str], name: str
) -> None:
    done: list[str] = []

    def mem_get_info(device: Any) -> tuple[int, int]:
        index = device if isinstance(device, int) else torch.device(device).index
        if index is None:  # as torch 2.1 has it
            raise ValueError("Expected a torch.device with a specified index or an integer, but got: cuda")
        return (free if index == (torch.device(name).index or 0) else 0), 20_000

    monkeypatch.setattr(torch.cuda, "mem_get_info", mem_get_info)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    host.sd_models.model_data.sd_model = SimpleNamespace()
    host.sd_models.send_model_to_cpu = lambda model: done.append("to cpu")
    host.sd_models.send_model_to_device = lambda model: done.append("to device")
    with pytest.raises(ZeroDivisionError), host.device.room(5000, torch.device(name)):
        _ = 1 / 0
    assert done == moves


def test_a_host_that_moves_models_by_its_own_rules_is_left_to_them(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """SD.Next has a checkpoint, but not A1111's two functions."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (0, 20_000))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    host.sd_models.model_data.sd_model = SimpleNamespace()
    for name in ("send_model_to_cpu", "send_model_to_device"):
        monkeypatch.delattr(host.sd_models, name, raising=False)
    with host.device.room(5000, torch.device("cuda")):
        pass


def test_networks_are_built_under_the_checkpoint_loaders_lock(host: Any) -> None:
    with torch.inference_mode():  # as the Forge family generates
        with host.device.building():
            assert host.sd_models.model_data.lock.locked()
            assert not torch.is_inference_mode_enabled()
        assert torch.is_inference_mode_enabled()
    assert not host.sd_models.model_data.lock.locked()


def test_layers_without_data_are_refused(host: Any) -> None:
    with pytest.raises(RuntimeError, match="loading a checkpoint"):
        host.equipment._with_data(torch.nn.Linear(2, 2, device="meta"))
