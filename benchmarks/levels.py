"""Levels of few channels on CUDA: fused by Triton's products against the library's convolutions with passes between.

    python benchmarks/levels.py

Times are of the device alone: repetitions are recorded as one CUDA graph.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Callable
from typing import Any

import timing
import torch
from gpen2048.choice import passes_for
from gpen2048.folded.layers import Convolution, StyledConvolution
from gpen2048.folded.levels import Below, Stored, StripLevels
from gpen2048.folded.styles import DecoderLevel
from gpen2048.folded.workspace import Schedule, Workspace
from gpen2048.gpu.triton_levels import TritonLevels
from gpen2048.network import NetworkConfig
from torch import Tensor

PRECISIONS = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
SIZES = (2048, 1024)  # the largest levels of networks of these sizes have 16 and 32 channels
REPETITIONS, RUNS = 5, 9
CUDA = torch.device("cuda")


def main() -> None:
    """Measures and writes one JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    if not torch.cuda.is_available():
        parser.error(f"PyTorch {torch.__version__} sees no CUDA device; wanted one from NVIDIA with tensor cores")
    torch.set_grad_enabled(False)
    torch.backends.cudnn.allow_tf32 = False
    rows: list[dict[str, Any]] = []
    for name, dtype in PRECISIONS.items():
        passes = passes_for(CUDA, dtype)
        for size in SIZES:
            library, fused = (_parts(way(passes), size, dtype) for way in (StripLevels, TritonLevels))
            for part in library:
                row = {"precision": name, "size": size, "part": part}
                rows.append({**row, "library_ms": _milliseconds(library[part]), "fused_ms": _milliseconds(fused[part])})
                print(rows[-1], flush=True)
    print(f"written to {timing.save('levels-cuda', {'machine': timing.machine('cuda'), 'levels': rows})}")


def _parts(levels: StripLevels, size: int, dtype: torch.dtype) -> dict[str, Callable[[], object]]:
    """An encoder and a decoder level of random values, as largest of a network."""
    config = NetworkConfig(size)
    workspace = Workspace(Schedule(config, 1, dtype, size, keep_first=True, fused=levels.is_fused), CUDA)
    channels, half = config.channels(size), size // 2
    feature, shrunk, below = (_random(*shape, dtype=dtype) for shape in (
        (1, channels, size, size), (1, 2 * channels, half, half), (1, 4 * channels, half, half)
    ))  # fmt: skip
    image_below, image = _random(1, 3, half, half), _random(1, 3, size, size)
    constants, colours, biases = (torch.rand(shape, device=CUDA) for shape in (
        (1, 6, channels), (1, 3, 2 * channels), (2 * channels,)
    ))  # fmt: skip
    layer = Convolution(_random(2 * channels, channels, 3, 3), biases, dtype)
    up = StyledConvolution(_random(channels, 4 * channels, 3, 3), biases, biases[:1], True, 1.0, dtype)
    last = StyledConvolution(_random(channels, 2 * channels, 3, 3), biases, biases[:1], False, 1.0, dtype)
    level = DecoderLevel(up, constants, last, constants, (colours, biases[:3]))
    return {
        "shrink": lambda: levels.shrink(Stored(feature), layer, shrunk, workspace),
        "grow": lambda: levels.grow(level, Below(below, image_below), Stored(feature), image, workspace),
    }


def _random(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, device=CUDA, dtype=dtype).contiguous(memory_format=torch.channels_last)


def _milliseconds(work: Callable[[], object]) -> float:
    """The median of several runs of several repetitions, for one of these."""
    work()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(REPETITIONS):
            work()
    graph.replay()
    events = [torch.cuda.Event(enable_timing=True) for _ in range(RUNS + 1)]
    events[0].record()
    for event in events[1:]:
        graph.replay()
        event.record()
    torch.cuda.synchronize()
    times = [first.elapsed_time(second) for first, second in itertools.pairwise(events)]
    return statistics.median(times) / REPETITIONS


if __name__ == "__main__":
    main()
