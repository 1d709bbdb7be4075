"""The folded network on CUDA against the readable one on the CPU; skipped where there is no GPU."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from gpen2048.inference import Network
from gpen2048.network import NetworkConfig

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
_spec = importlib.util.spec_from_file_location("inference_cases", Path(__file__).with_name("test_inference.py"))
assert _spec is not None and _spec.loader is not None
cases = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(cases)

CONFIG = NetworkConfig(256, 1, 0.5)  # up to 256 channels: several blocks of a kernel
BOUNDS = {torch.float32: 2e-4, torch.float16: 0.02, torch.bfloat16: 0.15}  # of the output's standard deviation


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
def test_equals_the_reference(dtype: torch.dtype, low_memory: bool, graphs: bool) -> None:
    state, x = cases.random_state(CONFIG), cases.random_images(2, CONFIG.size)
    network = Network.from_state_dict(CONFIG, state, dtype=dtype).to("cuda")
    network.low_memory, network.graphs = low_memory, graphs
    wanted = cases.reference(state, x, CONFIG)
    for _ in range(4):  # with graphs: launched, recorded, replayed
        assert cases.error(network(x.cuda()).cpu(), wanted) < BOUNDS[dtype]
    assert network.last_note is None


@pytest.mark.parametrize("dtype", list(BOUNDS))
@pytest.mark.parametrize("batch", [1, 3])
def test_memory_required_is_the_measured_peak(batch: int, dtype: torch.dtype) -> None:
    network = Network.from_state_dict(CONFIG, cases.random_state(CONFIG), dtype=dtype).to("cuda")
    x = cases.random_images(batch, CONFIG.size).cuda()
    network(x)
    for network.low_memory in (False, True):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        network(x)
        peak = torch.cuda.max_memory_allocated() - before
        assert network.memory_required(batch) == pytest.approx(peak, rel=0.15, abs=16 << 20)  # libraries take some


def test_a_network_left_on_the_cpu_runs_on_the_gpu() -> None:
    """As hosts do that are short of memory."""
    state, x = cases.random_state(CONFIG), cases.random_images(1, CONFIG.size)
    network = Network.from_state_dict(CONFIG, state)
    assert cases.error(network(x.cuda()).cpu(), cases.reference(state, x, CONFIG)) < BOUNDS[torch.float32]
