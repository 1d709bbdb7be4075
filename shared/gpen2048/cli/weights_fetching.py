"""`gpen2048 weights fetch`, and fetching on first use where the user agreed."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..catalogue import WeightFile, entry_for
from ..fetching import MIRRORS, fetch
from ..weight_files.first_seen import first_seen, record
from ..weight_files.verification import file_hash
from ..weights import default_folder, find_file
from .progress import ByteBar

FETCH = "GPEN2048_FETCH"  # environment: 1 agrees to fetching on first use

__all__ = ["FETCH", "MIRRORS", "add_to", "agreed", "fetch_entry"]


def add_to(actions: Any) -> None:
    parser = actions.add_parser("fetch", help="download and verify weight files")
    parser.add_argument("names", nargs="+", metavar="NAME", help="as `weights list` has them, such as GPEN-BFR-2048")
    parser.add_argument("--weights", type=Path, metavar="DIR", help="where to put them (default: weights/)")
    parser.add_argument(
        "--mirror", action="append", default=[], metavar="URL", help=f"try URL/FILE first; also {MIRRORS}"
    )
    parser.add_argument("--force", action="store_true", help="fetch again what is there")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """0 when every file is there and verified. Names are all looked up before anything is fetched."""
    folder: Path = options.weights or default_folder()
    for entry in [entry_for(name) for name in options.names]:
        path = fetch_entry(entry, folder, options.mirror, force=options.force)
        print(f"{path}: whole and verified ({path.stat().st_size / 1e6:.1f} MB)")
    return 0


def agreed(arguments: argparse.Namespace) -> bool:
    """Whether a missing file may be fetched: --fetch, or the environment says so."""
    return bool(getattr(arguments, "fetch", False)) or os.environ.get(FETCH, "").lower() in ("1", "true", "yes")


def fetch_entry(entry: WeightFile, folder: Path, mirrors: Sequence[str] = (), *, force: bool = False) -> Path:
    """Fetches with a bar and notes on stderr; the licence is shown before, the hash recorded after."""
    if force or find_file(entry.stems, folder) is None:
        _say(entry.licence)
    with ByteBar() as bar:
        path = fetch(entry, folder, mirrors=mirrors, force=force, tell=bar.update, note=bar.say)
    known = first_seen(path)
    if known is None or force:
        found = file_hash(path)
        if known not in (None, found):
            _say(f"{path.name}: another file than before (SHA-256 was {known}, is {found})")
        reason = record(path, found)
        if reason:
            _say(f"{path.name}: its hash is recorded nowhere: {reason}")
    return path


def _say(text: str) -> None:
    print(text, file=sys.stderr)
