"""The folded network on CUDA against the readable one on the CPU; skipped where there is no GPU."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
from gpen2048 import choice, inference
from gpen2048.folded import planning
from gpen2048.folded.levels import StripLevels
from gpen2048.gpu.triton_levels import can_fuse
from gpen2048.inference import Network
from gpen2048.network import NetworkConfig
from torch import Tensor

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
_spec = importlib.util.spec_from_file_location("inference_cases", Path(__file__).with_name("test_inference.py"))
assert _spec is not None and _spec.loader is not None
cases = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(cases)

CONFIG = NetworkConfig(256, 1, 0.25)  # 16 and 32 channels at the largest levels, as at 2048 px; 128 at the smallest
BOUNDS = {torch.float32: 2e-4, torch.float16: 0.02, torch.bfloat16: 0.15}  # of the output's standard deviation
CUDA = torch.device("cuda")


@cache
def case(batch: int) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """State, input and what the readable network makes of it on the CPU."""
    state, x = cases.random_state(CONFIG), cases.random_images(batch, CONFIG.size)
    return state, x, cases.reference(state, x, CONFIG)


def network_on_cuda(dtype: torch.dtype) -> Network:
    state = {key: value.cuda() for key, value in case(2)[0].items()}
    return Network.from_state_dict(CONFIG, state, dtype=dtype)


@pytest.fixture(autouse=True)
def strict() -> Iterator[None]:
    """Float32 that is float32: convolutions are in TF32 by default."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.mark.parametrize("graphs", [False, True])
@pytest.mark.parametrize("low_memory", [False, True])
@pytest.mark.parametrize("dtype", list(BOUNDS))
def test_equals_the_reference(
    dtype: torch.dtype, low_memory: bool, graphs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "GPU_LOW_MEMORY_ROWS", 64)  # strips at several levels
    network = network_on_cuda(dtype)
    network.low_memory, network.graphs = low_memory, graphs
    _, x, wanted = case(2)
    for _ in range(4):  # with graphs: launched, recorded, replayed
        assert cases.error(network(x.cuda()).cpu(), wanted) < BOUNDS[dtype]
    assert network.last_note is None


@pytest.mark.parametrize("dtype", list(BOUNDS))
def test_without_fused_levels_it_is_the_same(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        inference, "levels_for", lambda device, dtype, config: StripLevels(choice.passes_for(device, dtype))
    )
    _, x, wanted = case(2)
    assert cases.error(network_on_cuda(dtype)(x.cuda()).cpu(), wanted) < BOUNDS[dtype]


@pytest.mark.parametrize("dtype", list(BOUNDS))
def test_fused_levels_work_here(dtype: torch.dtype) -> None:
    pytest.importorskip("triton", minversion="3.0")
    if not can_fuse(CUDA, dtype):
        pytest.skip("needs NVIDIA's tensor cores")
    choice.prove_levels(choice.TritonLevels(choice.passes_for(CUDA, dtype)), CUDA, dtype)


def test_tf32_is_as_near_as_half_precision() -> None:
    """As most users have float32."""
    torch.backends.cudnn.allow_tf32 = True
    _, x, wanted = case(2)
    assert cases.error(network_on_cuda(torch.float32)(x.cuda()).cpu(), wanted) < BOUNDS[torch.float16]


@pytest.mark.parametrize("dtype", list(BOUNDS))
@pytest.mark.parametrize("batch", [1, 3])
def test_memory_required_is_the_measured_peak(batch: int, dtype: torch.dtype) -> None:
    network = network_on_cuda(dtype)
    x = cases.random_images(batch, CONFIG.size).cuda()
    for network.low_memory in (False, True):
        network(x)
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        network(x)
        peak = torch.cuda.max_memory_allocated() - before
        assert network.memory_required(batch) == pytest.approx(peak, rel=0.15, abs=8 << 20)  # libraries take some


def test_a_network_left_on_the_cpu_runs_on_the_gpu() -> None:
    """As hosts do that are short of memory."""
    state, x, wanted = case(2)
    network = Network.from_state_dict(CONFIG, state)
    assert cases.error(network(x.cuda()).cpu(), wanted) < BOUNDS[torch.float32]
