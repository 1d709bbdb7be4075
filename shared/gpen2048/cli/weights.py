"""`gpen2048 weights`: list, fetch, check, convert, where."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..catalogue import A1111_FOLDERS, CATALOGUE, COMFYUI_FOLDERS, SUFFIXES, WeightFile
from ..weights import default_folder, find_file
from . import weights_checking, weights_fetching
from .weights_fetching import FETCH, MIRRORS

MEGABYTE = 1e6


def add_to(commands: Any) -> None:
    parser = commands.add_parser("weights", help="list, fetch, check and convert weight files")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="the files this works with, their sizes and sources, and which are here")
    where = actions.add_parser("where", help="the folders in which weight files are looked for")
    for action, run in ((listing, run_list), (where, run_where)):
        add_folder_flag(action)
        action.set_defaults(run=run)
    weights_fetching.add_to(actions)
    weights_checking.add_to(actions)


def add_folder_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", type=Path, metavar="DIR", help="where weight files lie (default: weights/)")


def run_list(options: argparse.Namespace) -> int:
    folder: Path = options.weights or default_folder()
    for entry in CATALOGUE:
        found = find_file(entry.stems, folder)
        print(f"{entry.name:18} {entry.bounds[0] / MEGABYTE:6.1f} MB  {entry.purpose}")
        print(f"{'':18} {'here: ' + str(found) if found else 'not here; saved as ' + entry.file}")
        for line in _details(entry):
            print(f"{'':18} {line}")
    for licence in dict.fromkeys(entry.licence for entry in CATALOGUE):
        print(licence)
    return 0


def _details(entry: WeightFile) -> list[str]:
    names = [f"also called {', '.join(entry.aliases)}"] if entry.aliases else []
    return [*names, f"sha256 {entry.sha256 or 'none published'}", *(f"from {source}" for source in entry.sources)]


def run_where(options: argparse.Namespace) -> int:
    folder: Path = options.weights or default_folder()
    print(f"command line  {folder.resolve()}{'' if folder.is_dir() else ' (not there yet)'}")
    found = [path for entry in CATALOGUE if (path := find_file(entry.stems, folder))]
    for path in found:
        print(f"{'':13} {path.name} ({path.stat().st_size / MEGABYTE:.1f} MB)")
    print(f"{'':13} any of {' '.join(SUFFIXES)}; set {MIRRORS} for a mirror, {FETCH}=1 to fetch on first use")
    for host, folders in (("ComfyUI", COMFYUI_FOLDERS), ("A1111", A1111_FOLDERS)):
        print(f"{host:13} {', '.join(f'{kind}: models/{place}' for kind, place in folders.items())}")
    return 0
