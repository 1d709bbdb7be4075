"""`gpen2048 inspect`: what a weight file is, and whether it is sound."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..weight_files.describing import describe_state_dict
from ..weight_files.layout import check_state_dict, network_config
from ..weight_files.state_dicts import read_state_dict
from ..weight_files.verification import file_hash, verify_finite

MEGABYTE = 1e6


def add_to(commands: Any) -> None:
    parser = commands.add_parser("inspect", help="say what a weight file is and whether it is sound")
    parser.add_argument("file", type=Path)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    path: Path = options.file
    state = read_state_dict(path)
    parameters = sum(tensor.numel() for tensor in state.values())
    dtypes = ", ".join(sorted({str(tensor.dtype).removeprefix("torch.") for tensor in state.values()}))
    print(f"file        {path} ({path.stat().st_size / MEGABYTE:.1f} MB)")
    print(f"sha256      {file_hash(path)}")
    print(f"contents    {describe_state_dict(state)}")
    print(f"tensors     {len(state)}, {parameters / 1e6:.2f} million numbers, {dtypes}")
    if "generator.input.input" in state:
        config = network_config(state, path)
        check_state_dict(state, config, path)
        print(f"network     {config.size} px, channel multiplier {config.channel_multiplier}, narrow {config.narrow:g}")
        print("sound       every key and shape as published, every number finite")
    else:
        verify_finite(state, path)
        print("sound       every number finite")
    return 0
