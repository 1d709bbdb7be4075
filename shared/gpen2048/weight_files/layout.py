"""Which GPEN network a state dict holds, and whether it is all of it and nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..errors import CheckpointError
from ..network import NetworkConfig, fir_kernel, parameter_shapes
from .describing import SHOWN_KEYS, all_finite, describe_state_dict

MOST_LEVELS = 12  # of the encoder: 8192 px
WIDEST, MOST_MULTIPLIED = 2.0, 4  # of what narrows and multiplies channels; at most 1 and 2 in released networks


def network_config(state: Mapping[str, Tensor], path: str | Path) -> NetworkConfig:
    """Size, channel multiplier and width of the GPEN network `state`; CheckpointError if it is none."""
    start = state.get("generator.input.input")
    first = state.get("ecd0.0.0.weight")
    levels = sum(bool(re.fullmatch(r"ecd\d+\.0\.[01]\.weight", key)) for key in state)
    if start is None or first is None or start.ndim != 4 or first.ndim != 4 or not 1 <= levels <= MOST_LEVELS:
        raise CheckpointError(f"{path}: this is {describe_state_dict(state)}; wanted a GPEN network")
    size = 2 ** (levels + 1)
    narrow = start.shape[1] / 512
    unit = 16384 * narrow / size  # channels at the full size for channel multiplier 1
    multiplier = max(1, round(first.shape[0] / unit)) if size >= 64 and unit else 2
    config = NetworkConfig(size, multiplier, narrow)
    if not 0 < narrow <= WIDEST or multiplier > MOST_MULTIPLIED or not config.channels(size):
        seen = f"{start.shape[1]} channels at 4 px and {first.shape[0]} at {size} px"
        raise CheckpointError(f"{path}: this is a GPEN network with {seen}; wanted 1 to {round(512 * WIDEST)} at 4 px")
    return config


def check_state_dict(state: Mapping[str, Tensor], config: NetworkConfig, path: str | Path) -> None:
    """Raises CheckpointError unless `state` has exactly the keys, shapes and finite values of the `config` network."""
    wanted = parameter_shapes(config)
    name = f"{path}: this is the {config.size} network, but"
    for kind, keys in (("missing", wanted.keys() - state.keys()), ("unknown", state.keys() - wanted.keys())):
        if keys:
            raise CheckpointError(f"{name} {_count(keys)} {kind}")
    for key, shape in wanted.items():
        tensor = state[key]
        if tensor.shape != shape:
            raise CheckpointError(f"{name} key {key} has shape {tuple(tensor.shape)}; wanted {tuple(shape)}")
        if not tensor.is_floating_point():
            raise CheckpointError(f"{name} key {key} holds {tensor.dtype}; wanted floating point")
        if not all_finite(tensor):
            raise CheckpointError(f"{name} key {key} holds NaN or infinity")
        if key.endswith(".kernel"):
            _check_kernel(tensor, key, name)


def _check_kernel(kernel: Tensor, key: str, name: str) -> None:
    gain = 4 if key.startswith("generator.") else 1
    if not torch.allclose(kernel.float(), fir_kernel(gain), atol=1e-3):
        raise CheckpointError(f"{name} key {key} is not the published FIR filter [1, 3, 3, 1] with gain {gain}")


def _count(keys: set[str]) -> str:
    shown = ", ".join(sorted(keys)[:SHOWN_KEYS]) + (", …" if len(keys) > SHOWN_KEYS else "")
    return f"key {shown} is" if len(keys) == 1 else f"{len(keys)} keys ({shown}) are"
