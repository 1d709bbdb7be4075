"""A few pictures from their files to their outputs and records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .manifest import Manifest
from .outputs import FATAL, write_part
from .pictures import Original, Restore, Restored
from .recipe import Recipe, hash_of
from .records import Record, one_line
from .sources import Item


def do_pictures(manifest: Manifest, recipe: Recipe, items: Sequence[Item], restore: Restore) -> list[Record]:
    """Reads, restores and writes `items`; bad files are on record as such. Raises OSError when the disk is full."""
    read = [_read(item, recipe) for item in items]
    results = iter(restore([original for _, original in read if original is not None]))
    with manifest.writing():
        done = [with_output(record, next(results), manifest) if original else record for record, original in read]
        return [manifest.add(record) for record in done]


def _read(item: Item, recipe: Recipe) -> tuple[Record, Original | None]:
    record = recipe.record(item)
    try:
        stat = item.source.stat()
        data = item.source.read_bytes()
        faces = recipe.find_faces(item.source) if recipe.find_faces else None
    except (OSError, ValueError) as error:
        return replace(record, error=not_read(error)), None
    record = replace(record, source_hash=hash_of(data), source_size=stat.st_size, source_time=stat.st_mtime_ns)
    return record, Original(data, Path(item.output).suffix, faces, str(item.source))


def not_read(error: Exception) -> str:
    """Why a source is not read, in words; the record names it."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}; wanted a file that can be read"
    return one_line(error)


def with_output(record: Record, result: Restored, manifest: Manifest) -> Record:
    """`record` with what came out, which is on the disk then, but without its name."""
    record = replace(
        record,
        faces=result.faces,
        restored=result.restored,
        seconds=result.seconds,
        error=result.error,
        frames=result.frames,
        note=result.note,
        remark=result.remark,
    )
    if result.error:
        return record
    manifest.refuse_other_folder()  # before the one that is gone would be made anew
    try:
        part = write_part(manifest.target(record.output), result.data)
    except OSError as error:
        if error.errno in FATAL:
            raise
        return replace(record, error=one_line(error))
    return replace(record, part=part.name, output_size=len(result.data))
