"""Fetching weight files: sources in order, resumed where they broke off, verified before they get their name.

Left out of what the ComfyUI registry is given: ComfyUI never fetches, and nothing else needs this.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from ..catalogue import WeightFile
from ..errors import CheckpointError, DownloadError
from ..weight_files.verification import verify_file
from ..weights import find_file
from .locking import locked
from .partial import Partial, disk
from .transfer import Patience, Tell, Unavailable, transfer

MIRRORS = "GPEN2048_MIRROR"  # environment: addresses of folders with the files, separated by spaces
Note = Callable[[str], None]

__all__ = ["MIRRORS", "Patience", "fetch", "source_addresses"]


def fetch(
    entry: WeightFile,
    folder: Path,
    *,
    mirrors: Sequence[str] = (),
    force: bool = False,
    tell: Tell | None = None,
    note: Note | None = None,
    patience: Patience | None = None,
) -> Path:
    """The path of `entry` in `folder`, fetched if it is not there, or `force` says so.

    `mirrors` are addresses of folders, tried before those of the environment and then the catalogue's sources.
    `tell(done, total)` hears of bytes (total may be None), also while another process fetches the file, and may raise;
    `note` hears of what is being done. The file appears under its name only when it is whole and verified. Raises
    DownloadError with what went wrong at each source.
    """
    note, tell = note or _silent, tell or _untold
    with disk(folder):
        there = find_file(entry.stems, folder)
        folder.mkdir(parents=True, exist_ok=True)
    target = folder / entry.file
    if there is None or force:
        with locked(target, note, lambda: tell(0, None)):
            there = None if force else find_file(entry.stems, folder)
            if there is None:
                addresses = source_addresses(entry, mirrors)
                _fetch_first(entry, target, addresses, tell, note, patience or Patience())
                first = find_file(entry.stems, folder)
                if first not in (None, target):
                    note(f"{first} is still taken before it; remove that file")
                return target
    _confirm(there, entry)
    return there


def source_addresses(entry: WeightFile, mirrors: Sequence[str] = ()) -> list[str]:
    """Where `entry` is looked for, in order: `mirrors`, those of the environment, the catalogue's sources."""
    bases = [*mirrors, *os.environ.get(MIRRORS, "").split()]
    return [*(f"{base.rstrip('/')}/{entry.file}" for base in bases), *entry.sources]


def _confirm(target: Path, entry: WeightFile) -> None:
    try:
        verify_file(target, entry)
    except CheckpointError as error:
        what = "--force replaces it" if target.name == entry.file else f"remove it, and {entry.file} can be fetched"
        raise DownloadError(f"{error}. It is left as it is; {what}") from error


def _fetch_first(
    entry: WeightFile, target: Path, addresses: Sequence[str], tell: Tell, note: Note, patience: Patience
) -> None:
    """Takes `target` from the first of `addresses` that gives the right file."""
    refused: list[str] = []
    for address in addresses:
        note(f"{entry.file} from {address}")
        try:
            _fetch_from(address, entry, target, tell, note, patience)
            return
        except (Unavailable, CheckpointError) as error:
            reason = str(error).removeprefix(f"{target.name}.part: ")
            refused.append(f"{urlsplit(address).netloc or address}: {reason}")
            note(f"  no: {reason}")
    page = f"; by hand: {entry.page}, saved as {target}"
    raise DownloadError(f"{entry.file} could not be fetched from any source ({'; '.join(refused)}){page}")


def _fetch_from(address: str, entry: WeightFile, target: Path, tell: Tell, note: Note, patience: Patience) -> None:
    partial = Partial(target, address)
    digest = transfer(partial, entry.bounds, tell, patience)
    note(f"verifying {entry.file}")
    try:
        verify_file(partial.path, entry, digest)
        partial.finish()
    except CheckpointError as error:
        partial.discard()
        raise CheckpointError(str(error).replace(str(partial.path), partial.path.name)) from error


def _silent(text: str) -> None:
    """Notes nobody reads."""


def _untold(done: int, total: int | None) -> None:
    """Progress nobody watches."""
