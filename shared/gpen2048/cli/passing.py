"""`gpen2048 passthrough`: writes the network that returns, or sharpens, its input."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError, InvalidOptionError
from ..network import NetworkConfig
from ..replacing import replacing
from ..weight_files.converting import save_safetensors
from ..weight_files.passthrough import passthrough_state_dict

# Channel multiplier and width of each released size (yangxy/GPEN run.sh); small ones for tests.
RELEASED = {256: (1, 0.5), 512: (2, 1.0), 1024: (2, 1.0), 2048: (2, 1.0)}
STRONGEST = 100
SMALL = {64: (1, 0.125), 128: (1, 0.125)}


def add_to(commands: Any) -> None:
    parser = commands.add_parser("passthrough", help="write a network that returns its input, for trying things out")
    parser.add_argument("file", type=Path, help="what to write: .pth, .pt or .safetensors")
    parser.add_argument("--size", type=int, default=2048, choices=sorted(RELEASED | SMALL), help="in pixels")
    parser.add_argument("--sharpen", type=float, default=0.0, metavar="A", help="sharpen visibly instead: 1 is strong")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it is there")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    if not 0 <= options.sharpen <= STRONGEST:
        raise InvalidOptionError(f"sharpen is {options.sharpen}; wanted a number from 0 to {STRONGEST}")
    if options.file.exists() and not options.overwrite:
        raise CheckpointError(f"{options.file} is there already; wanted another name, or --overwrite")
    options.file.parent.mkdir(parents=True, exist_ok=True)
    config = NetworkConfig(options.size, *(RELEASED | SMALL)[options.size])
    save_state_dict(passthrough_state_dict(config, options.sharpen), options.file)
    effect = f"sharpens its input by {options.sharpen:g}" if options.sharpen else "returns its input"
    print(f"{options.file}: a {config.size} network that {effect} and restores nothing")
    return 0


def save_state_dict(state: dict[str, Tensor], path: Path) -> None:
    """Writes `state` as `path`, which holds what it held before until that is whole."""
    if path.suffix.lower() not in (".pth", ".pt", ".safetensors"):
        raise ValueError(f"{path}: wanted a name ending in .pth, .pt or .safetensors")
    with replacing(path) as unfinished:
        if path.suffix.lower() == ".safetensors":
            save_safetensors(state, unfinished, path)
        else:
            _save_pytorch(state, unfinished, path)


def _save_pytorch(state: dict[str, Tensor], unfinished: Path, path: Path) -> None:
    try:
        with unfinished.open("wb") as file:  # given a name, torch writes it into the file, which would differ each time
            torch.save(state, file)
    except RuntimeError as error:  # also for what the system refuses
        raise CheckpointError(f"{path}: cannot be written ({error})") from error
