"""Where the pieces of a film lie until it is whole, and which of these folders nobody will come back to."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from pathlib import Path

from .manifest import Manifest
from .records import Record
from .sources import is_there

LONGEST_NAME = 255  # bytes, on most file systems

log = logging.getLogger(__name__)


def pieces_folder(manifest: Manifest, output: str) -> Path:
    target = manifest.target(output)
    name = f".{target.name}.pieces"
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = f".{hashlib.sha256(os.fsencode(target.name)).hexdigest()}.pieces"
    return target.with_name(name)


def remove_leftovers(manifest: Manifest) -> None:
    """Removes the pieces of films that are whole, or whose source is gone for good.

    A source is gone if its folder is there without it; a volume that is not mounted takes the folder away as well.
    Records of old, which do not say from where a relative name counts, tell nothing of that.
    """
    for piece in {record.film: record for record in manifest.records() if record.film}.values():
        folder, source = pieces_folder(manifest, piece.film), Path(piece.source)
        is_gone = source.is_absolute() and not is_there(source) and source.parent.is_dir()
        if folder.is_dir() and (is_gone or _is_whole(piece, manifest)):
            log.info("removed pieces of %s, which %s", piece.film, "has no source any more" if is_gone else "is whole")
            shutil.rmtree(folder, ignore_errors=True)


def keep_only(folder: Path, names: set[str]) -> None:
    """Removes what other options, other cuts or a join that was killed have left in `folder`."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in names:
            path.unlink(missing_ok=True)


def _is_whole(piece: Record, manifest: Manifest) -> bool:
    """Whether the film that `piece` is for has been made with it."""
    film = manifest.get(piece.film)
    return film is not None and not film.error and _made_alike(film, piece) and manifest.target(piece.film).is_file()


def _made_alike(film: Record, piece: Record) -> bool:
    return (film.source_hash, film.options_hash, film.network_hash) == (
        piece.source_hash,
        piece.options_hash,
        piece.network_hash,
    )
