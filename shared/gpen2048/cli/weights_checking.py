"""`gpen2048 weights check` and `convert`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ..catalogue import CATALOGUE, WeightFile, find_entry
from ..errors import CheckpointError, GpenError
from ..inference import Network
from ..network import NetworkConfig
from ..weight_files.converting import convert
from ..weight_files.describing import describe_state_dict
from ..weight_files.first_seen import first_seen, record, record_path
from ..weight_files.layout import check_state_dict, network_config
from ..weight_files.state_dicts import StateDict, read_state_dict
from ..weight_files.verification import file_hash, verify_finite, verify_output, verify_size
from .flags import named_path

CHANGED = 3  # exit code: sound, but not the file that was first seen
LIKENESS = 0.5  # of the answer to the fixed picture, below which a network hardly restores


def add_to(actions: Any) -> None:
    check = actions.add_parser("check", help="say what files are and whether they are sound and the same as ever")
    check.add_argument("files", nargs="+", type=Path, metavar="FILE")
    check.add_argument("--accept", action="store_true", help="take the present hash for the first seen from now on")
    check.set_defaults(run=run_check)
    converting = actions.add_parser("convert", help="write a network as safetensors, which loads faster")
    converting.add_argument("file", type=Path, metavar="FILE", help=".pth, .pt, .onnx or .safetensors")
    converting.add_argument("-o", "--output", type=named_path, required=True, metavar="FILE.safetensors")
    converting.add_argument("--half", action="store_true", help="in float16: half the size, rounded to 11 bits")
    converting.add_argument("--overwrite", action="store_true", help="replace the output if it is there")
    converting.set_defaults(run=run_convert)


def run_check(options: argparse.Namespace) -> int:
    """0 when all files are sound, 1 when one is not, CHANGED when all are but one differs from when first seen."""
    codes: list[int] = []
    for path in options.files:
        try:
            codes.append(_check(path, accept=options.accept))
        except (GpenError, OSError) as error:
            print(f"gpen2048: {' '.join(str(error).split())}", file=sys.stderr)
            codes.append(1)
    return 1 if 1 in codes else max(codes)


def _check(path: Path, *, accept: bool) -> int:
    state = read_state_dict(path)
    sha256 = file_hash(path)
    print(f"{path}")
    print(f"  sha256    {sha256}")
    print(f"  contents  {describe_state_dict(state)}, {len(state)} tensors")
    known = next((entry for entry in CATALOGUE if entry.sha256 == sha256), None)
    named = find_entry(path.name)
    if "generator.input.input" in state:
        _check_network(path, state, named)
    else:
        verify_finite(state, path)
        print("  sound     every number finite")
    if known:
        print(f"  known     this is {known.name}, as published")
    elif named and named.sha256 and path.suffix in (".pth", ".pt"):
        raise CheckpointError(f"{path}: SHA-256 is {sha256}; wanted {named.sha256} for {named.name}")
    return _compare(path, sha256, accept=accept)


def _check_network(path: Path, state: StateDict, named: WeightFile | None) -> None:
    config = network_config(state, path)
    check_state_dict(state, config, path)
    _refuse_other(path, config, named)
    likeness = verify_output(Network.from_state_dict(config, state), path)
    print(f"  network   {config.size} px, channel multiplier {config.channel_multiplier}, narrow {config.narrow:g}")
    print("  sound     every key and shape as published, every number finite")
    verdict = "as a restorer's should" if likeness >= LIKENESS else "WARNING: hardly, this may be no trained network"
    print(f"  answer    resembles the fixed picture ({likeness:.2f}, {verdict})")


def _refuse_other(path: Path, config: NetworkConfig, named: WeightFile | None) -> None:
    if named is None or named.config is None:
        return
    if config != named.config:
        raise CheckpointError(f"{path}: this is the {config.size} network; wanted the {named.config.size} network")
    verify_size(path, named)


def _compare(path: Path, sha256: str, *, accept: bool) -> int:
    """Records the hash when it is the first, warns when it is another."""
    before = first_seen(path)
    if before is None or accept:
        reason = record(path, sha256, accept=accept)
        print(f"  recorded  {f'nowhere: {reason}' if reason else record_path(path)}")
    elif before != sha256:
        print(f"  CHANGED   SHA-256 was {before} when first seen ({record_path(path)}); --accept takes the new one")
        return CHANGED
    else:
        print("  same      as when first seen")
    return 0


def run_convert(options: argparse.Namespace) -> int:
    target: Path = options.output
    if target.exists() and not options.overwrite:
        raise CheckpointError(f"{target} is there already; wanted another name, or --overwrite")
    target.parent.mkdir(parents=True, exist_ok=True)
    config = convert(options.file, target, half=options.half)
    size = target.stat().st_size / 1e6
    print(f"{target}: the {config.size} network in {'float16' if options.half else 'float32'} ({size:.1f} MB)")
    return 0
