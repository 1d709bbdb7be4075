"""Levels fused by Triton: their weights, when they are used, and their kernels in Triton's interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from gpen2048 import choice
from gpen2048.folded.layers import Convolution, StyledConvolution
from gpen2048.folded.levels import StripLevels
from gpen2048.folded.memory import peak_bytes
from gpen2048.folded.passes import TorchPasses
from gpen2048.folded.window_weights import doubling_windows, painting_windows, shrinking_windows
from gpen2048.folded.workspace import Schedule
from gpen2048.gpu import triton_levels
from gpen2048.network import NetworkConfig
from torch import Tensor

SHARED = Path(__file__).resolve().parents[2] / "shared"
CUDA = torch.device("cuda")
LARGEST = NetworkConfig(2048)


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def windows_of(x: Tensor, rows: int, columns: int, step: int, before: int) -> Tensor:
    """(groups, rows * columns * C) windows around a row of groups, as the kernels read them."""
    padded = F.pad(x, (before, columns, before, rows)).permute(0, 2, 3, 1)[0]
    starts = range(0, x.shape[3], step)
    return torch.stack([padded[:rows, start : start + columns].flatten() for start in starts])


def test_windows_of_an_encoder_layer_hold_filter_and_convolution() -> None:
    x, weight = random(1, 16, 8, 8), random(32, 16, 3, 3)
    blurred = torch.empty(1, 16, 9, 9)
    TorchPasses().blur(x, -2, blurred)
    wanted = F.conv2d(blurred, weight, stride=2)[0, :, 0].t()  # (4, 32)
    seen = windows_of(x, 6, 8, 4, before=2) @ shrinking_windows(weight).t()
    assert torch.allclose(seen.view(-1, 32)[:4], wanted, atol=1e-4)


def test_windows_of_a_doubling_layer_hold_convolution_and_filter() -> None:
    x, weight = random(1, 64, 4, 6), random(16, 64, 3, 3)
    raised = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    wanted = F.conv2d(F.pad(raised, (1, 1, 1, 1)).transpose(0, 1), fir()).transpose(0, 1)[0]  # (16, 8, 12)
    seen = (windows_of(x, 3, 3, 1, before=1) @ doubling_windows(weight).t()).view(-1, 2, 2, 16)
    for row in (0, 1):
        assert torch.allclose(seen[:6, row].reshape(12, 16), wanted[:, row].t(), atol=1e-4)


def fir() -> Tensor:
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return (torch.outer(taps, taps) / 64)[None, None]


@pytest.mark.parametrize("channels", [16, 32])
def test_windows_of_a_second_layer_give_groups_of_columns(channels: int) -> None:
    x, weight = random(1, 2 * channels, 4, 16), random(channels, 2 * channels, 3, 3)
    wanted = F.conv2d(x, weight, padding=1)[0, :, 0].t()
    group = 64 // channels
    seen = windows_of(x, 3, group + 2, group, before=1) @ painting_windows(weight).t()
    assert torch.allclose(seen.view(-1, channels)[:16], wanted, atol=1e-4)


def test_only_layers_of_few_channels_have_windows() -> None:
    few = Convolution(random(32, 16, 3, 3), torch.zeros(32), torch.float16)
    assert few.window is not None and few.window.dtype == torch.float16
    assert Convolution(random(128, 64, 3, 3), torch.zeros(128), torch.float32).window is None
    assert Convolution(random(16, 3, 1, 1), torch.zeros(16), torch.float32).window is None
    odd = StyledConvolution(random(16, 48, 3, 3), torch.zeros(32), torch.zeros(1), True, 1.0, torch.float32)
    assert odd.window is None  # a window of it is no whole number of steps


def test_products_are_for_tensor_cores_and_not_for_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not triton_levels.can_fuse(torch.device("cpu"), torch.float32)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 6))
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    assert [triton_levels.can_fuse(CUDA, dtype) for dtype in (torch.float16, torch.float32)] == [True, False]
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    assert triton_levels.can_fuse(CUDA, torch.float32)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert not triton_levels.can_fuse(CUDA, torch.float16)


@pytest.mark.parametrize("trouble", ["wrong", "slow", "none"])
def test_fused_levels_must_be_right_and_no_slower(
    trouble: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Compiled(TorchPasses):
        is_plain = False

    class Fused(StripLevels):
        is_fused = True

    def proved(levels: object, device: torch.device, dtype: torch.dtype) -> None:
        if trouble == "wrong":
            raise ArithmeticError("a level differs from PyTorch's by 1")

    def seconds(levels: object, device: torch.device, dtype: torch.dtype) -> float:
        return 2.0 if trouble == "slow" and isinstance(levels, Fused) else 1.0

    monkeypatch.setattr(choice, "can_fuse", lambda device, dtype: True)
    monkeypatch.setattr(choice, "_compiled", lambda kind, index, dtype: Compiled())
    monkeypatch.setattr(choice, "passes_for", lambda device, dtype: Compiled())
    monkeypatch.setattr(choice, "TritonLevels", Fused)
    monkeypatch.setattr(choice, "prove_levels", proved)
    monkeypatch.setattr(choice, "level_seconds", seconds)
    choice._fused.cache_clear()
    with caplog.at_level("INFO"):
        levels = choice.levels_for(CUDA, torch.float16, LARGEST)
    choice._fused.cache_clear()
    assert isinstance(levels, Fused) == (trouble == "none")
    said = {"wrong": "differs from PyTorch's", "slow": "2.00 times as long as by library", "none": ""}
    assert said[trouble] in caplog.text


def test_a_moment_without_memory_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    def scarce(kind: str, index: int | None, dtype: torch.dtype) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    class Fused(StripLevels):
        is_fused = True

    monkeypatch.setattr(choice, "can_fuse", lambda device, dtype: True)
    monkeypatch.setattr(choice, "TritonLevels", Fused)
    monkeypatch.setattr(choice, "prove_levels", lambda *given: None)
    monkeypatch.setattr(choice, "level_seconds", lambda *given: 1.0)
    choice._fused.cache_clear()
    with monkeypatch.context() as short:
        short.setattr(choice, "_compiled", scarce)
        assert not choice.levels_for(CUDA, torch.float16, LARGEST).is_fused
    monkeypatch.setattr(choice, "_compiled", lambda kind, index, dtype: TorchPasses())
    assert choice.levels_for(CUDA, torch.float16, LARGEST).is_fused
    choice._fused.cache_clear()


def test_strict_float32_copies_only_what_the_library_convolves(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 512 px, where no level has few channels: second convolutions are done here where levels are fused."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.version, "hip", None)
    config, level = NetworkConfig(512), 512**2 * 64 * 4
    sizes = [
        peak_bytes(Schedule(config, 1, torch.float32, 1024, True, None, fused), CUDA, plain=False)
        for fused in (False, True)
    ]
    assert sizes[0] - sizes[1] == pytest.approx(2 * level, rel=0.1)


INTERPRETED = """
import sys
import torch
from gpen2048 import inference
from gpen2048.folded import planning, proving
from gpen2048.gpu import triton_levels
from gpen2048.inference import Network
from gpen2048.folded.layers import Convolution, StyledConvolution
from gpen2048.gpu.triton_levels import TritonLevels
from gpen2048.gpu.triton_passes import TritonPasses
sys.path.insert(0, sys.argv[1])
import test_inference as cases

CPU = torch.device("cpu")
levels = TritonLevels(TritonPasses())
weight = torch.randn(64, 64, 3, 3)
x = torch.randn(2, 64, 5, 67).contiguous(memory_format=torch.channels_last)
for layer, paddings in (
    (Convolution(weight, torch.zeros(64), torch.float32), (0,)),
    (StyledConvolution(weight, torch.zeros(128), torch.zeros(1), False, 1.0, torch.float32), (0, 1)),
):
    assert triton_levels._can_convolve(layer, x)
    for padding in paddings:
        seen, wanted = levels.convolve(layer, x, padding), layer(x, padding)
        assert seen.shape == wanted.shape and seen.stride() == wanted.stride()
        assert (seen - wanted).abs().max() < 1e-5 * wanted.std()

proving.PROOF = 64  # 16 channels, and 32 next to them
proving.prove_levels(levels, CPU, torch.float32)

inference.levels_for = lambda device, dtype, config: levels
planning.LOW_MEMORY_ROWS = 4
used = []
for name in ("_shrink", "_join", "_paint"):
    real = getattr(TritonLevels, name)
    setattr(TritonLevels, name, lambda self, *a, real=real, name=name: used.append(name) or real(self, *a))
config = cases.NetworkConfig(16, 1, 0.0625)  # 32 channels
state, images = cases.random_state(config), cases.random_images(1, 16)
network = Network.from_state_dict(config, state)
network.low_memory = True  # in strips
assert cases.error(network(images), cases.reference(state, images, config)) < 2e-5
assert set(used) == {"_shrink", "_join", "_paint"}, used
print("agrees")
"""


def test_fused_levels_agree_in_tritons_interpreter() -> None:
    pytest.importorskip("triton", minversion="3.0")
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(SHARED)}
    command = [sys.executable, "-c", INTERPRETED, str(Path(__file__).parent)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "agrees", result.stderr[-2000:]
