"""Every implementation of the passes against PyTorch's, and PyTorch's against the readable network's layers."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Timer

import pytest
import torch
import torch.nn.functional as F
from gpen2048 import choice
from gpen2048.compiled.numba_passes import NumbaPasses
from gpen2048.compiled.threads import finish
from gpen2048.errors import DeviceError
from gpen2048.folded import fir
from gpen2048.folded.convolution import convolve
from gpen2048.folded.passes import Passes, TorchPasses, enlarge
from gpen2048.network import Blur, Upsample
from torch import Tensor

SHARED = Path(__file__).parents[2] / "shared"


def random(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    n, c, h, w = shape
    return torch.randn(n, h, w, c, generator=torch.Generator().manual_seed(h * w)).to(dtype).permute(0, 3, 1, 2)


@pytest.fixture(params=[TorchPasses, NumbaPasses])
def passes(request: pytest.FixtureRequest) -> Passes:
    return request.param()


@pytest.mark.parametrize("top, rows", [(-2, 14), (-2, 5), (0, 10), (6, 6)])
def test_blur_is_the_readable_filter(passes: Passes, top: int, rows: int) -> None:
    x, out = random(2, 16, 13, 17), random(2, 16, rows, 18)
    passes.blur(x, top, out)
    assert torch.allclose(out, Blur((2, 2))(x)[:, :, top + 2 : top + 2 + rows], atol=1e-6)


@pytest.mark.parametrize("rows, columns", [(0, 1), (0, 2), (1, 1), (2, 2)])
def test_the_filter_is_three_means(rows: int, columns: int) -> None:
    x = random(2, 16, 9, 13)
    wanted = fir.by_convolution(x, rows, columns)
    seen = fir.by_means(x, rows, columns)
    assert seen.shape == wanted.shape and seen.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(seen, wanted, atol=1e-6)


def test_a_gpu_takes_the_faster_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = fir.waves(fir.TRIAL, torch.device("cpu"), torch.float32)
    monkeypatch.setattr(fir, "waves", lambda *_: tried)
    for faster in (fir.by_means, fir.by_convolution):
        monkeypatch.setattr(fir, "_seconds", lambda way, x, faster=faster: 1 if way is faster else 2)
        fir._fastest.cache_clear()
        assert fir._fastest(torch.device("cuda"), torch.float16) is faster
    monkeypatch.setattr(
        fir, "by_means", lambda x, rows, columns: torch.zeros_like(fir.by_convolution(x, rows, columns))
    )
    monkeypatch.setattr(fir, "_seconds", lambda way, x: 1 if way is fir.by_means else 2)
    fir._fastest.cache_clear()
    assert fir._fastest(torch.device("cuda"), torch.float16) is fir.by_convolution  # the other is faster, and wrong
    fir._fastest.cache_clear()
    assert fir._fastest(torch.device("cpu"), torch.float32) is fir.by_convolution


def test_colour_is_the_first_layer(passes: Passes) -> None:
    image, weight, bias, out = torch.randn(2, 3, 7, 9), torch.randn(32, 3, 1, 1), torch.randn(32), random(2, 32, 7, 9)
    passes.colour(image, weight, bias, out)
    assert torch.allclose(out, F.leaky_relu(F.conv2d(image, weight, bias), 0.2), atol=1e-5)


def test_activate_adds_the_bias(passes: Passes) -> None:
    x, bias, out = random(2, 32, 5, 7), torch.randn(32), random(2, 32, 5, 7)
    wanted = F.leaky_relu(x + bias[:, None, None], 0.2)
    passes.activate(x, bias, out)
    assert torch.allclose(out, wanted, atol=1e-6)


@pytest.mark.parametrize("top, rows", [(-1, 16), (-1, 4), (3, 9), (10, 5)])
def test_join_filters_activates_and_modulates(passes: Passes, top: int, rows: int) -> None:
    x, feature, k = random(2, 16, 17, 17), random(2, 16, rows, 16), torch.randn(2, 6, 16)
    out = random(2, 32, rows, 16)
    y = Blur((1, 1))(x)[:, :, top + 1 : top + 1 + rows]
    gain, bias, feature_gain, feature_bias, *modulation = (row[:, :, None, None] for row in k.unbind(1))
    halves = (y * gain + bias, feature * feature_gain + feature_bias)
    wanted = torch.cat([F.leaky_relu(half, 0.2) * m for half, m in zip(halves, modulation)], dim=1)
    passes.join(x, top, feature, k, out)
    assert torch.allclose(out, wanted, atol=1e-5)


@pytest.mark.parametrize("row", [0, 4, 10])
def test_paint_adds_to_the_doubled_image(passes: Passes, row: int) -> None:
    x, feature, k = random(2, 16, 6, 16), random(2, 16, 6, 16), torch.randn(2, 6, 16)
    weight, bias, below = torch.randn(2, 3, 32), torch.randn(3), random(2, 3, 8, 8)
    image, out = random(2, 3, 6, 16), random(2, 32, 6, 16)
    gain, level, feature_gain, feature_level, *modulation = (line[:, :, None, None] for line in k.unbind(1))
    halves = [F.leaky_relu(v, 0.2) for v in (x * gain + level, feature * feature_gain + feature_level)]
    wanted = torch.einsum("nkc,nchw->nkhw", weight, torch.cat(halves, dim=1)) + bias[:, None, None]
    passes.paint(x, feature, k, (weight, bias), below, row, image, out)
    assert torch.allclose(image, wanted + Upsample()(below)[:, :, row : row + 6], atol=1e-5)
    assert torch.allclose(out, torch.cat([half * m for half, m in zip(halves, modulation)], dim=1), atol=1e-5)


def test_enlarging_is_the_readable_one() -> None:
    image = random(2, 3, 8, 8)
    for rows in ((0, 16), (0, 4), (6, 10), (12, 16)):
        assert torch.allclose(enlarge(image, rows), Upsample()(image)[:, :, slice(*rows)], atol=1e-6)


def test_numba_rounds_bfloat16_as_pytorch_does() -> None:
    x = torch.tensor([1.00390625, 1.01171875, -3.3e38, 3.4e38, 1e-40, float("inf"), float("nan"), 0.0])
    x = x.to(torch.bfloat16).repeat(8).view(1, 16, 2, 2).contiguous(memory_format=torch.channels_last)
    wanted, seen = x.clone(), x.clone()
    nothing = torch.zeros(16)
    TorchPasses().activate(x.clone(), nothing, wanted)
    NumbaPasses().activate(x.clone(), nothing, seen)
    assert torch.equal(seen.nan_to_num(7), wanted.nan_to_num(7))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_compiled_passes_are_used_on_the_cpu(dtype: torch.dtype) -> None:
    assert isinstance(choice.passes_for(torch.device("cpu"), dtype), NumbaPasses)


def test_passes_that_differ_are_not_used(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    class Wrong(TorchPasses):
        def activate(self, x: Tensor, bias: Tensor, out: Tensor) -> None:
            out.copy_(x)

    monkeypatch.setattr(choice, "_compiler", lambda kind, dtype: Wrong())
    choice._compiled.cache_clear()
    with caplog.at_level("INFO"):
        assert type(choice.passes_for(torch.device("cpu"), torch.float32)) is TorchPasses
    assert "differs from PyTorch's" in caplog.text
    choice._compiled.cache_clear()


def test_a_device_that_computes_wrongly_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """MPS once lost the results of operations in place, where they were channels last."""
    real = choice.passes_trial

    def trial(passes: Passes, device: torch.device, dtype: torch.dtype) -> list[Tensor]:
        results = real(passes, torch.device("cpu"), dtype)
        return [result.zero_() for result in results] if device.type == "mps" else results

    monkeypatch.setattr(choice, "passes_trial", trial)
    choice._plain.cache_clear()
    with pytest.raises(DeviceError, match=r"computes wrongly on mps.*update PyTorch"):
        choice.passes_for(torch.device("mps"), torch.float32)
    assert isinstance(choice.passes_for(torch.device("xpu"), torch.float32), TorchPasses)
    choice._plain.cache_clear()


def test_without_a_compiler_pytorch_does_it(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def missing(kind: str, dtype: torch.dtype) -> Passes:
        raise ImportError("No module named 'numba'")

    monkeypatch.setattr(choice, "_compiler", missing)
    choice._compiled.cache_clear()
    with caplog.at_level("INFO"):
        assert type(choice.passes_for(torch.device("cpu"), torch.float32)) is TorchPasses
    assert "No module named 'numba'" in caplog.text
    choice._compiled.cache_clear()


def test_nothing_heavy_is_imported_with_the_package() -> None:
    code = "import sys, gpen2048.inference; print([m for m in ('numba', 'triton') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], cwd=SHARED, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


INTERPRETED = """
import torch
from gpen2048.folded.proving import prove
from gpen2048.gpu.triton_passes import TritonPasses
from gpen2048.inference import Network
from gpen2048 import inference
from gpen2048.folded import planning
from gpen2048.folded.levels import StripLevels
import sys
sys.path.insert(0, sys.argv[1])
import test_inference as cases
for dtype in (torch.float32, torch.float16):
    prove(TritonPasses(), torch.device("cpu"), dtype)
inference.levels_for = lambda device, dtype, config: StripLevels(TritonPasses())
config = cases.NetworkConfig(16, 1, 0.0625)
state, x = cases.random_state(config), cases.random_images(2, 16)
network = Network.from_state_dict(config, state)
for network.low_memory in (False, True):
    planning.LOW_MEMORY_ROWS = planning.STRIP_ROWS = 8 if network.low_memory else 16
    assert cases.error(network(x), cases.reference(state, x, config)) < 2e-5
print("agrees")
"""


def test_triton_kernels_agree_in_tritons_interpreter() -> None:
    triton = pytest.importorskip("triton", minversion="3.0")
    assert triton
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(SHARED)}
    command = [sys.executable, "-c", INTERPRETED, str(Path(__file__).parent)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "agrees", result.stderr[-2000:]


@pytest.mark.parametrize("name", ["conv2d", "conv_transpose2d"])
def test_convolutions_come_back_channels_last(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """MIOpen, and CUDA without cuDNN, give them otherwise, and compiled passes count on it."""
    real = getattr(F, name)
    monkeypatch.setattr(F, name, lambda *given, **named: real(*given, **named).contiguous())
    x, weight = random(1, 16, 8, 8), random(16, 16, 3, 3)
    y = convolve(x, weight, stride=2, transposed=name == "conv_transpose2d")
    assert y.is_contiguous(memory_format=torch.channels_last) and y.shape[1] == 16


def test_too_little_memory_for_the_trial_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[bool] = []

    def scarce(kind: str, dtype: torch.dtype) -> Passes:
        attempts.append(True)
        if len(attempts) == 1:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return NumbaPasses()

    monkeypatch.setattr(choice, "_compiler", scarce)
    choice._compiled.cache_clear()
    seen = [type(choice.passes_for(torch.device("cpu"), torch.float32)) for _ in range(3)]
    choice._compiled.cache_clear()
    assert seen == [TorchPasses, NumbaPasses, NumbaPasses] and len(attempts) == 2


def test_when_one_part_fails_the_others_are_waited_for() -> None:
    """They write to memory that is given back afterwards."""
    pool, begun, may_end, done = ThreadPoolExecutor(2), Event(), Event(), list[int]()

    def slow() -> None:
        begun.set()
        may_end.wait(5)
        done.append(1)

    def failing() -> None:
        begun.wait(5)
        Timer(0.2, may_end.set).start()
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        finish([pool.submit(failing), pool.submit(slow)])
    assert done == [1]
