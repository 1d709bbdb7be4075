"""Writing a network as safetensors, which is mapped instead of read, and says in its head what it is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, cast

import torch

from ..errors import CheckpointError
from ..network import NetworkConfig
from ..replacing import replacing
from .layout import check_state_dict, network_config
from .state_dicts import read_state_dict
from .verification import file_hash


def convert(source: Path, target: Path, *, half: bool = False) -> NetworkConfig:
    """Writes the network of any readable file as `target`, in float32 or, with `half`, float16.

    Keys and shapes stay as published; size, channel multiplier, width, source name and its SHA-256 are in the metadata.
    Raises CheckpointError when the source is not sound, when a number of it is too large for float16, or when the
    target cannot be written.
    """
    if target.suffix.lower() != ".safetensors":
        raise ValueError(f"{target}: wanted a name ending in .safetensors")
    state = read_state_dict(source)
    config = network_config(state, source)
    check_state_dict(state, config, source)
    dtype = torch.float16 if half else torch.float32
    converted = {key: tensor.to(dtype).contiguous().clone() for key, tensor in state.items()}
    if half:
        _refuse_overflow(converted, source)
    with replacing(target) as unfinished:
        save_safetensors(converted, unfinished, target, _metadata(config, source))
        shutil.copymode(source, unfinished)  # safetensors makes files that only their owner may read
        check_state_dict(read_state_dict(unfinished), config, target)
    return config


def save_safetensors(
    state: dict[str, torch.Tensor], unfinished: Path, target: Path, metadata: dict[str, str] | None = None
) -> None:
    """Writes `state` to `unfinished`, with `metadata` in its head; CheckpointError naming `target` where that fails."""
    import safetensors.torch

    try:
        safetensors.torch.save_file(state, unfinished, metadata=metadata)
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{target}: cannot be written ({error})") from error


def _refuse_overflow(state: dict[str, torch.Tensor], source: Path) -> None:
    for key, tensor in state.items():
        if not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"{source}: key {key} holds a number beyond 65504; wanted one that float16 can hold")


def _metadata(config: NetworkConfig, source: Path) -> dict[str, str]:
    return {
        "format": "pt",
        "architecture": "GPEN",
        "size": str(config.size),
        "channel_multiplier": str(config.channel_multiplier),
        "narrow": f"{config.narrow:g}",
        "source": source.name,
        "source_sha256": file_hash(source),
    }


def read_metadata(path: Path) -> dict[str, str]:
    """What a safetensors file says of itself; CheckpointError when it is none."""
    import safetensors

    try:
        opened: Any = safetensors.safe_open(path, framework="pt")
        with opened as file:
            return cast("dict[str, str]", file.metadata() or {})
    except Exception as error:
        raise CheckpointError(f"{path}: not a whole safetensors file ({error})") from error
