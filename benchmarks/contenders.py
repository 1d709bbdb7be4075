"""The networks that `network.py` compares, on the same weights: ours, the readable, the authors', onnxruntime's."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from gpen2048.inference import Network
from gpen2048.network import FullGenerator, NetworkConfig
from torch import Tensor

GOLDEN = Path(__file__).parent.parent / "tests" / "golden"
CONFIGS = {256: NetworkConfig(256, 1, 0.5), **{size: NetworkConfig(size) for size in (512, 1024, 2048)}}
STYLE, MAPPING = 512, 8  # arguments of the authors' FullGenerator (face_gan.py)
Task = dict[str, Any]
Run = Callable[[], object]


def contender(task: Task) -> Run:
    """What `task` names, loaded: a call is one pass. On CUDA from uint8 pixels on the device to uint8 pixels there."""
    on_cuda = task["device"].startswith("cuda")
    # Others run as PyTorch has it: convolutions in TF32.
    torch.backends.cudnn.allow_tf32 = task.get("precision", "tf32") == "tf32"
    if task["kind"] == "onnxruntime":
        return _onnxruntime(task)
    network = {"folded": _folded, "reference": _reference, "authors": _authors}[task["kind"]](task)
    return _from_bytes_to_bytes(network, images(task)) if on_cuda else partial(network, images(task))


def _from_bytes_to_bytes(network: Callable[[Tensor], Tensor], x: Tensor) -> Run:
    samples, black = ((x + 1) * 127.5).round().to(torch.uint8), torch.full((), -1.0, device=x.device)

    def run() -> Tensor:
        y = network(torch.add(black, samples, alpha=1 / 127.5))
        return torch.add(128.0, y, alpha=127.5, out=y).clamp_(0, 255).to(torch.uint8)

    return run


def _folded(task: Task) -> Callable[[Tensor], Tensor]:
    config = CONFIGS[task["size"]]
    dtype = torch.float32 if task["precision"] == "tf32" else getattr(torch, task["precision"])
    network = Network.from_state_dict(config, _state(config, task["device"]), dtype=dtype)
    network.low_memory, network.graphs = task["low_memory"], not task["low_memory"]
    network.memory_required(task["batch"])  # chooses and compiles, as onnxruntime does when it loads
    return network


def _reference(task: Task) -> Callable[[Tensor], Tensor]:
    config = CONFIGS[task["size"]]
    network = FullGenerator(config)
    network.load_state_dict(_state(config, "cpu"))
    return network.to(task["device"])


def _authors(task: Task) -> Callable[[Tensor], Tensor]:
    """The code of github.com/yangxy/GPEN in a folder, on CUDA with its operators, which it compiles by itself."""
    config, device = CONFIGS[task["size"]], torch.device(task["device"])
    sys.path.insert(0, str(Path(task["authors"]) / "face_model"))
    made: Any = importlib.import_module("gpen_model").FullGenerator
    widths = {"channel_multiplier": config.channel_multiplier, "narrow": config.narrow}
    network = made(config.size, STYLE, MAPPING, **widths, device=device.type)
    network.load_state_dict(_state(config, "cpu"))
    network.to(device).eval()
    return lambda x: network(x)[0]


def _onnxruntime(task: Task) -> Run:
    import onnxruntime

    provider = "CUDAExecutionProvider" if task["device"].startswith("cuda") else "CPUExecutionProvider"
    session = onnxruntime.InferenceSession(task["model"], providers=[provider])
    feed = {session.get_inputs()[0].name: images(task).cpu().numpy()}
    return lambda: session.run(None, feed)


def export(task: Task) -> int:
    """Writes the readable network as ONNX; its size in bytes."""
    network = _reference({**task, "device": "cpu"})
    assert isinstance(network, FullGenerator)
    pixels = images({**task, "device": "cpu"})
    torch.onnx.export(network.eval(), (pixels,), task["model"], dynamo=True, external_data=False, verbose=False)
    return Path(task["model"]).stat().st_size


def images(task: Task) -> Tensor:
    """(N, 3, size, size) in [-1, 1]."""
    return torch.from_numpy(_recipe().image(task["batch"], task["size"], seed=1)).to(task["device"])


def _state(config: NetworkConfig, device: str) -> dict[str, Tensor]:
    """Random weights: times do not depend on them."""
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in FullGenerator(config).state_dict().items()}
    return {key: torch.from_numpy(value).to(device) for key, value in _recipe().state_dict(shapes, seed=1).items()}


def _recipe() -> Any:
    spec = importlib.util.spec_from_file_location("recipe", GOLDEN / "recipe.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
