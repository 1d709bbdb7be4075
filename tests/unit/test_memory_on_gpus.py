"""memory_required against what is alive at once on a GPU, without one: on PyTorch's device "meta" nothing is real."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from gpen2048 import Face, FaceRestorer, Request, RestoreOptions, inference, memory, restorer
from gpen2048.detection import FaceDetector
from gpen2048.detectors import tilting
from gpen2048.folded import layers, styles
from gpen2048.folded.levels import StripLevels
from gpen2048.folded.memory import peak_bytes
from gpen2048.gpu.triton_levels import TritonLevels
from gpen2048.gpu.triton_passes import TritonPasses
from gpen2048.inference import Network
from gpen2048.network import NetworkConfig, parameter_shapes
from gpen2048.parsing import FaceParser
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

META = torch.device("meta")


class Alive(TorchDispatchMode):
    """The most bytes of storages that were alive at once, but for those of `before`."""

    def __init__(self, before: Iterable[Tensor]) -> None:
        super().__init__()
        self.peak = 0
        self._before = {StorageWeakRef(x.untyped_storage()).cdata for x in before}
        self._seen: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for x in result if isinstance(result, (tuple, list)) else [result]:
            reference = StorageWeakRef(x.untyped_storage())
            if reference.cdata not in self._before:
                self._seen.setdefault(reference.cdata, (reference, x.untyped_storage().nbytes()))
        self._seen = {key: entry for key, entry in self._seen.items() if not entry[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self._seen.values()))
        return result


class Launched:
    """Stands in for a module of kernels, each of which does nothing."""

    def __getattr__(self, name: str) -> Launched:
        return self

    def __getitem__(self, grid: object) -> Launched:
        return self

    def __call__(self, *given: object, **named: object) -> None:
        pass


def convolved(
    x: Tensor, weight: Tensor, bias: object = None, *, stride: int = 1, padding: Any = (0, 0), transposed: bool = False
) -> Tensor:
    """As large as a convolution's result; as on CUDA, with nothing but it."""
    channels, taps = (weight.shape[1] if transposed else weight.shape[0]), weight.shape[2]
    sides = (
        2 * size + 1 if transposed else (size + 2 * more - taps) // stride + 1
        for size, more in zip(x.shape[2:], padding)
    )
    return torch.empty((len(x), *sides, channels), dtype=x.dtype, device=META).permute(0, 3, 1, 2)


@pytest.fixture(autouse=True)
def without_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """What reads values when a network is made, and convolutions."""
    monkeypatch.setattr(layers, "convolve", convolved)
    monkeypatch.setattr(layers, "_power_of_two", torch.ones_like)
    for name in ("shrinking_windows", "doubling_windows", "painting_windows"):
        monkeypatch.setattr(layers, name, lambda weight: torch.empty(1, device=META))
    real = styles._places
    monkeypatch.setattr(
        styles, "_places", lambda *given: tuple(x.to(META) for x in real(*given[:2], torch.device("cpu")))
    )


def levels(fused: bool) -> StripLevels:
    passes = TritonPasses.__new__(TritonPasses)
    passes._kernels = Launched()  # pyright: ignore[reportAttributeAccessIssue]
    made = TritonLevels.__new__(TritonLevels) if fused else StripLevels(passes)
    StripLevels.__init__(made, passes)
    made._kernels = Launched()  # pyright: ignore[reportAttributeAccessIssue]
    return made


def half_network(size: int) -> Network:
    config = NetworkConfig(size)
    state = {key: torch.empty(shape, device=META) for key, shape in parameter_shapes(config).items()}
    return Network(config, state, torch.float16, inference.Scales.none(config))


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("low_memory", [False, True])
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("size", [512, 1024, 2048])
def test_memory_required_is_what_is_alive(size: int, fused: bool, low_memory: bool, batch: int) -> None:
    network = half_network(size)
    network.low_memory = low_memory
    chosen, x = levels(fused), torch.empty(batch, 3, size, size, device=META)
    wanted = peak_bytes(network._schedule(batch, torch.float16, META, chosen), META, plain=False)
    with torch.inference_mode(), Alive([x, *network.parameters()]) as alive:
        image = inference._image(batch, size, META)
        network._run(x, image, torch.float16, inference._nothing, chosen)
    assert wanted == pytest.approx(alive.peak, rel=0.1)


class Restoring(nn.Module):
    """Takes the memory of `network`, which on "meta" could not choose its levels itself."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.config, self._network, self._levels = network.config, network, levels(True)

    def memory_required(self, batch: int = 1, device: torch.device | None = None) -> int:
        return peak_bytes(self._network._schedule(batch, torch.float16, META, self._levels), META, plain=False)

    def forward(self, x: Tensor, on_stage: object = None) -> Tensor:
        image = inference._image(len(x), self.config.size, META)
        self._network._run(x, image, torch.float16, inference._nothing, self._levels)
        return image


@pytest.mark.parametrize("side", [512, 2048])
@pytest.mark.parametrize("size", [512, 2048])
@pytest.mark.parametrize("mask", ["box", "parse", "face"])
def test_a_restoration_takes_no_more_than_is_asked_for(
    mask: Any, size: int, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsenet = pytest.importorskip("facexlib.parsing.parsenet")
    for name in ("MINUS_ONE", "HALF"):
        monkeypatch.setattr(restorer, name, getattr(restorer, name).to(META))
    network, options = Restoring(half_network(size)), RestoreOptions(max_crops=0, mask=mask)
    parser = FaceParser(parsenet.ParseNet(in_size=512, out_size=512, parsing_ch=19).eval().to(META))
    landmarks = np.array([(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)]) * side / 2 + side / 4
    face = Face(np.array((0.25, 0.25, 0.75, 0.75)) * side, landmarks, 1.0)
    used = parser if options.needs_parser else None
    step = memory.step_bytes(options, (side, side), network, None, used, device=META)
    with torch.no_grad(), Alive([*network.parameters(), *parser.network.parameters()]) as alive:
        request = Request(torch.empty(3, side, side, device=META), options, [face], grey=False)
        list(FaceRestorer(network, None, parser).each([request]))  # pyright: ignore[reportArgumentType]  stands in
    asked = step + memory.canvas_bytes((side, side), 1)
    assert alive.peak <= asked < 1.3 * alive.peak + memory.canvas_bytes((side, side), 1)


@pytest.mark.parametrize("size", [(1024, 1024), (2000, 3000), (4000, 6000), (300, 9000)])
@pytest.mark.parametrize("angle", [45, 90])
def test_turned_views_take_no_more_than_is_asked_for(size: tuple[int, int], angle: int) -> None:
    image, seen = torch.empty(3, *size, device=META), tilting.view_size(*size, angle)
    with torch.inference_mode(), Alive([image]) as alive:
        tilting._view(image, tilting.turned(angle, size, seen), seen)
    detector = FaceDetector(nn.Identity(), "retinaface_mobile0.25")
    assert alive.peak <= detector.memory_required(*size, max_tilt=angle)
