"""Whose a name below the destination is: no output replaces an original, or what became of another picture."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import InvalidOptionError
from .manifest import NAME, Manifest
from .recipe import has_changed
from .records import Record, has_records
from .sources import Item, identity, is_there, place_finder


def refuse_unknown(items: Sequence[Item], destination: Path) -> None:
    """Raises InvalidOptionError where an output lies in a folder that no batch has written to.

    Somebody may have named it as another source, and no destination: then it is an original.
    """
    manifest = destination / NAME
    if manifest.is_file() and has_records(manifest):
        return
    for item in items:
        if os.path.lexists(destination / item.output):
            raise InvalidOptionError(
                f"{destination / item.output} is there and not on record; wanted a new folder, "
                "or the destination of an earlier batch, after the sources"
            )


def refuse_others(items: Sequence[Item], manifest: Manifest) -> None:
    """Raises InvalidOptionError where an output of another picture lies, by whatever name, and that is still there."""
    place = place_finder(manifest.destination)
    known = {place(record.output): record for record in manifest.records() if not record.film}
    for item in items:
        target = manifest.target(item.output)
        record = manifest.get(item.output) or known.get(place(item.output))
        other = _another(record, item.source) if record and os.path.lexists(target) else None
        if other is not None:
            raise InvalidOptionError(
                f"{target} holds what became of {other}, not of {_led(item.source)}; wanted another destination"
            )


def _another(record: Record, source: Path) -> Path | None:
    """What the output of `record` was made of, where it is still there and not `source`."""
    other = Path(record.file or record.source)
    if not other.is_absolute() or not is_there(other) or identity(other) == identity(source):
        return None
    has_own_name = record.source == str(source.absolute())  # then the same picture may have moved, as to another disk
    return None if has_own_name and not has_changed(source, record, checksum=True) else other


def _led(source: Path) -> str:
    file = source.resolve()
    return str(source) if file == source.absolute() else f"{source}, which leads to {file}"
