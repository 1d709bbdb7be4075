"""A batch: what is missing, changed or failed is done on the seats of an engine, and put on record as it is done."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Protocol

from ..faces import Face
from .manifest import Manifest, Record
from .outputs import write_part
from .pictures import Original, Restore, Restored
from .seats import spread
from .sources import Item

FindFaces = Callable[[Path], Sequence[Face]]
# What stops all writing, and so the run; anything else is the trouble of one file.
FATAL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


class Engine(Protocol):
    """Where pictures are restored: `chunk` of them at a time on each of its seats."""

    @property
    def chunk(self) -> int: ...

    @property
    def busy(self) -> float | None:
        """The share of the time so far for which the network has run, where one device is all there is."""
        ...

    def seats(self) -> Sequence[Callable[[], Restore]]: ...

    def stop(self) -> None:
        """Cuts short what is under way and gives everything back; the engine is of no use afterwards."""
        ...


@dataclass(frozen=True)
class Recipe:
    """Hashes of all that a result depends on besides its source, and the user's own faces, if any."""

    options_hash: str
    network_hash: str
    find_faces: FindFaces | None = None


def what_to_do(
    items: Iterable[Item], manifest: Manifest, recipe: Recipe, *, checksum: bool = False
) -> Iterator[tuple[Item, str]]:
    """Those of `items` that no earlier run has done as the recipe has it, each with why: missing, changed or failed.

    A source is taken as unchanged if its size and time of change are, or, with `checksum` only, if its hash is.
    """
    for item in items:
        why = _why(item, manifest, recipe, checksum)
        if why:
            yield item, why


def _why(item: Item, manifest: Manifest, recipe: Recipe, checksum: bool) -> str:
    record = manifest.get(item.output)
    if record is None:
        return "missing"
    if record.error:
        return "failed"
    if (record.options_hash, record.network_hash) != (recipe.options_hash, recipe.network_hash):
        return "changed"
    if _size(manifest.target(item.output)) != record.output_size:
        return "missing"
    return "changed" if _has_changed(item.source, record, checksum) else ""


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _has_changed(source: Path, record: Record, checksum: bool) -> bool:
    try:
        stat = source.stat()
        if not checksum and (stat.st_size, stat.st_mtime_ns) == (record.source_size, record.source_time):
            return False
        return stat.st_size != record.source_size or _hash(source.read_bytes()) != record.source_hash
    except OSError:
        return True


def run(items: Iterable[Item], engine: Engine, manifest: Manifest, recipe: Recipe) -> Iterator[Record]:
    """Restores `items`, writes them below the manifest's folder, and gives the record of each as it is done.

    Raises what ends the run as a whole: a full disk, an engine that cannot work, the interrupt of the user.
    """
    seats = [partial(_take_seat, seat, manifest, recipe) for seat in engine.seats()]
    for records in spread(seats, _chunks(items, engine.chunk), engine.stop):
        yield from records


def _chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _take_seat(
    seat: Callable[[], Restore], manifest: Manifest, recipe: Recipe
) -> Callable[[Sequence[Item]], list[Record]]:
    return partial(_do, seat(), manifest, recipe)


def _do(restore: Restore, manifest: Manifest, recipe: Recipe, items: Sequence[Item]) -> list[Record]:
    """Reads, restores and writes a chunk of pictures; bad files are on record as such."""
    read = [_read(item, recipe) for item in items]
    results = iter(restore([original for _, original in read if original is not None]))
    done = [_with_output(record, next(results), manifest) if original else record for record, original in read]
    for record in done:
        manifest.add(record)
    return done


def _read(item: Item, recipe: Recipe) -> tuple[Record, Original | None]:
    record = Record(item.output, str(item.source), "", 0, 0, recipe.options_hash, recipe.network_hash)
    try:
        stat = item.source.stat()
        data = item.source.read_bytes()
        faces = recipe.find_faces(item.source) if recipe.find_faces else None
    except (OSError, ValueError) as error:
        return replace(record, error=_one_line(error)), None
    record = replace(record, source_hash=_hash(data), source_size=stat.st_size, source_time=stat.st_mtime_ns)
    return record, Original(data, Path(item.output).suffix, faces)


def _with_output(record: Record, result: Restored, manifest: Manifest) -> Record:
    record = replace(record, faces=result.faces, restored=result.restored, seconds=result.seconds, error=result.error)
    if result.error:
        return record
    try:
        part = write_part(manifest.target(record.output), result.data)
    except OSError as error:
        if error.errno in FATAL:
            raise
        return replace(record, error=_one_line(error))
    return replace(record, part=part.name, output_size=len(result.data))


def options_hash(facts: Mapping[str, object]) -> str:
    """Of named values: the same whatever their order."""
    return _hash(repr(sorted(facts.items())).encode())


def file_hash(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with Path(path).open("rb") as file:
        digest = hashlib.sha256()
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
