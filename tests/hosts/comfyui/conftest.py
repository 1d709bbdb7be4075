"""The pack, loaded as ComfyUI loads it, among stand-ins for ComfyUI's modules."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from gpen2048.network import NetworkConfig
from gpen2048.weight_files.passthrough import passthrough_state_dict
from torch import Tensor, nn

ROOT = Path(__file__).parents[3]
PACK = "/base/custom_nodes/any-name"  # ComfyUI names the module by its path
Nodes = dict[str, Any]


def load_file(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Any]:
    standins = load_file("comfyui_standins", Path(__file__).with_name("standins.py"))
    host = standins.Host(tmp_path / "models")
    for folder in ("facerestore_models", "facedetection"):
        (host.models / folder).mkdir(parents=True)
    before = standins.install(host)
    yield host
    for name, module in before.items():
        if module is None:
            del sys.modules[name]
        else:
            sys.modules[name] = module


@pytest.fixture
def pack(host: Any) -> Iterator[Callable[[str], ModuleType]]:
    """Gives a module of the pack by its name, such as "comfyui_gpen.nodes"."""
    load_file(PACK, ROOT / "__init__.py")
    yield lambda name: importlib.import_module(f"{PACK}.{name}")
    # The runtime below it knows no host, and stays: importing it takes a second.
    for name in [name for name in sys.modules if name == PACK or name.startswith(f"{PACK}.comfyui_gpen")]:
        del sys.modules[name]


@pytest.fixture
def nodes(pack: Any) -> Nodes:
    extension = asyncio.run(sys.modules[PACK].comfy_entrypoint())
    return {node.define_schema().node_id: node for node in asyncio.run(extension.get_node_list())}


@pytest.fixture(scope="session")
def tiny_state() -> dict[str, Tensor]:
    return passthrough_state_dict(NetworkConfig(64, 1, 0.25))


@pytest.fixture
def network_file(host: Any, tiny_state: dict[str, Tensor]) -> Path:
    path = host.models / "facerestore_models" / "GPEN-BFR-64.pth"
    torch.save(tiny_state, path)
    return path


@pytest.fixture
def model(nodes: Nodes, network_file: Path) -> Any:
    return nodes["GPENLoader"].execute(network_file.name, "none", "auto").args[0]


@pytest.fixture
def photos() -> Tensor:
    """IMAGE (3, 90, 120, 3) in steps of 1/255."""
    return torch.randint(0, 256, (3, 90, 120, 3), generator=torch.Generator().manual_seed(4)).float() / 255


def box(left: float, top: float, size: float = 40) -> dict[str, Any]:
    """A face as Detect Faces tells of it."""
    points = [[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]]
    landmarks = [[left + size * x, top + size * y] for x, y in points]
    return {"x": left, "y": top, "width": size, "height": size, "score": 1.0, "landmarks": landmarks}


@pytest.fixture
def bboxes() -> list[list[dict[str, Any]]]:
    """Two faces, none, one."""
    return [[box(10, 20), box(70, 30)], [], [box(40, 25)]]


class Exhausted(nn.Module):
    """Runs out of memory until it is asked for little enough."""

    def __init__(self, network: Any, fits: Any):
        super().__init__()
        self.config, self._real, self._fits = network.config, [network], fits
        self.low_memory, self.last_note = False, None
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, on_stage: Any = None) -> Tensor:
        if not self._fits(self, len(x)):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return self._real[0](x, on_stage)

    def memory_required(self, batch: int = 1, device: Any = None) -> int:
        return batch

    def release(self) -> None:
        self._real[0].release()


@pytest.fixture
def exhausted() -> type[Exhausted]:
    return Exhausted
