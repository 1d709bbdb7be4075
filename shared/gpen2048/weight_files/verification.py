"""Whether a weight file is what its name says: size, hash, keys, shapes, finiteness, and what the network does."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..catalogue import WeightFile
from ..errors import CheckpointError
from ..folded.precision import is_sound
from ..inference import Network
from .describing import all_finite
from .layout import check_state_dict, network_config
from .state_dicts import StateDict, read_state_dict

BLOCK = 1 << 20  # bytes
COARSE = 16  # px to which the fixed picture and the network's answer are reduced for comparison


def file_hash(path: Path) -> str:
    """SHA-256 in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def verify_file(path: Path, entry: WeightFile, sha256: str | None = None) -> None:
    """Raises CheckpointError saying how `path` differs from `entry`; `sha256` is its hash where it is known already.

    A file without a published hash must have the right size, every key and shape, finite numbers, and give a sound
    picture. safetensors files that were converted have their own size and hash; their tensors are looked at.
    """
    verify_size(path, entry)
    if entry.sha256 and not _is_converted(path):
        found = sha256 or file_hash(path)
        if found != entry.sha256:
            raise CheckpointError(f"{path}: SHA-256 is {found}; wanted {entry.sha256} for {entry.name}")
    else:
        verify_network(path, entry)


def verify_size(path: Path, entry: WeightFile) -> None:
    """Raises CheckpointError when a file that was not converted lies outside the bounds of `entry`."""
    size, (fewest, most) = path.stat().st_size, entry.bounds
    if not fewest <= size <= most and not _is_converted(path):
        wanted = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        raise CheckpointError(f"{path}: {size} bytes; wanted {wanted} for {entry.name}")


def _is_converted(path: Path) -> bool:
    return path.suffix.lower() in (".safetensors", ".onnx")


def verify_network(path: Path, entry: WeightFile) -> None:
    """The part of `verify_file` that reads the tensors."""
    state = read_state_dict(path)
    if entry.config is None:
        verify_finite(state, path)
        return
    config = network_config(state, path)
    if config != entry.config:
        raise CheckpointError(f"{path}: this is the {config.size} network; wanted the {entry.config.size} network")
    check_state_dict(state, config, path)
    verify_output(Network.from_state_dict(config, state), path)


def verify_finite(state: StateDict, path: Path) -> None:
    """Raises CheckpointError naming a key that holds NaN or infinity."""
    bad = next((key for key, tensor in state.items() if not all_finite(tensor)), None)
    if bad:
        raise CheckpointError(f"{path}: key {bad} holds NaN or infinity")


def verify_output(network: Network, path: Path) -> float:
    """How like the fixed picture the network's answer is: correlation of both at 16 px, from -1 to 1.

    Raises CheckpointError when the answer is not finite or is flat. A network that restores keeps the rough picture;
    random weights give about 0.
    """
    picture = fixed_picture(network.config.size)
    answer = network(picture)
    network.release()
    if not is_sound(answer):
        raise CheckpointError(f"{path}: the network's answer to a plain picture is flat or not finite")
    rough = [F.adaptive_avg_pool2d(image, COARSE).flatten() for image in (picture, answer)]
    return float(torch.corrcoef(torch.stack(rough))[0, 1])


def fixed_picture(size: int) -> Tensor:
    """(1, 3, size, size) in [-1, 1]: a rough face, always the same."""
    axis = (torch.arange(size) + 0.5) / size
    y, x = torch.meshgrid(axis, axis, indexing="ij")

    def spot(centre_x: float, centre_y: float, width: float, height: float) -> Tensor:
        return torch.exp(-(((x - centre_x) / width) ** 2) - ((y - centre_y) / height) ** 2)

    dark = spot(0.39, 0.47, 0.06, 0.03) + spot(0.61, 0.47, 0.06, 0.03) + 0.7 * spot(0.5, 0.72, 0.1, 0.03)
    light = 0.25 + 0.55 * spot(0.5, 0.55, 0.32, 0.42) - 0.4 * dark
    tint = torch.tensor([1.1, 0.9, 0.8])[:, None, None]
    return (light * tint).clamp(0, 1)[None] * 2 - 1
