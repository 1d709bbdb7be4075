"""memory_required against what is alive at once on a GPU, without one: on PyTorch's device "meta" nothing is real."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
import torch
from gpen2048 import inference
from gpen2048.folded import layers, styles
from gpen2048.folded.levels import StripLevels
from gpen2048.folded.memory import peak_bytes
from gpen2048.gpu.triton_levels import TritonLevels
from gpen2048.gpu.triton_passes import TritonPasses
from gpen2048.inference import Network
from gpen2048.network import NetworkConfig, parameter_shapes
from torch import Tensor
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


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("low_memory", [False, True])
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("size", [512, 1024, 2048])
def test_memory_required_is_what_is_alive(size: int, fused: bool, low_memory: bool, batch: int) -> None:
    config, dtype = NetworkConfig(size), torch.float16
    state = {key: torch.empty(shape, device=META) for key, shape in parameter_shapes(config).items()}
    network = Network(config, state, dtype, inference.Scales.none(config))
    network.low_memory = low_memory
    chosen, x = levels(fused), torch.empty(batch, 3, size, size, device=META)
    wanted = peak_bytes(network._schedule(batch, dtype, META, chosen), META, plain=False)
    with torch.inference_mode(), Alive([x, *network.parameters()]) as alive:
        image = inference._image(batch, size, META)
        network._run(x, image, dtype, inference._nothing, chosen)
    assert wanted == pytest.approx(alive.peak, rel=0.1)
