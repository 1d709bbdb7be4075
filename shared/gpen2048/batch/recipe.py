"""What a result depends on, and so what of a batch is still, or again, to be done."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..faces import Face
from ..weight_files.verification import file_hash
from .manifest import Manifest
from .records import Record
from .sources import Item

FindFaces = Callable[[Path], Sequence[Face]]


@dataclass(frozen=True)
class Recipe:
    """Hashes of all that a result depends on besides its source; the user's own faces, if any; what becomes of films.

    `codec` and `quality` are FilmWriter's; `piece` is how many frames of a film are restored together at least.
    """

    options_hash: str
    network_hash: str
    find_faces: FindFaces | None = None
    codec: str = "h264"
    quality: int = 16
    piece: int = 240

    def record(self, item: Item) -> Record:
        """Of `item`, of which no more than its names is known yet."""
        source = str(item.source.absolute())
        file = os.path.realpath(source)
        led = "" if file == source else file
        return Record(item.output, source, "", 0, 0, self.options_hash, self.network_hash, file=led)


def what_to_do(
    items: Iterable[Item], manifest: Manifest, recipe: Recipe, *, checksum: bool = False
) -> Iterator[tuple[Item, str]]:
    """Those of `items` that no earlier run has done as the recipe has it, each with why: missing, changed or failed.

    A source is taken as unchanged if its size and time of change are, or, with `checksum` only, if its hash is.
    """
    for item in items:
        why = why_to_do(item, manifest, recipe, checksum=checksum)
        if why:
            yield item, why


def why_to_do(item: Item, manifest: Manifest, recipe: Recipe, *, checksum: bool = False) -> str:
    """ "missing", "changed" or "failed"; "" when it is done."""
    record = manifest.get(item.output)
    why = why_though_unchanged(record, manifest, recipe)
    return "changed" if not why and record and has_changed(item.source, record, checksum=checksum) else why


def why_though_unchanged(record: Record | None, manifest: Manifest, recipe: Recipe) -> str:
    """As `why_to_do`, of an output whose source is what it was when the `record` was made."""
    if record is None:
        return "missing"
    if record.error:
        return "failed"
    if (record.options_hash, record.network_hash) != (recipe.options_hash, recipe.network_hash):
        return "changed"
    return "" if _size(manifest.target(record.output)) == record.output_size else "missing"


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def has_changed(source: Path, record: Record, *, checksum: bool = False) -> bool:
    """Whether `source` is not what it was when the `record` was made; `checksum` is what_to_do's."""
    try:
        stat = source.stat()
        if not checksum and (stat.st_size, stat.st_mtime_ns) == (record.source_size, record.source_time):
            return False
        return stat.st_size != record.source_size or file_hash(source) != record.source_hash
    except OSError:
        return True


def options_hash(facts: Mapping[str, object]) -> str:
    """Of named values: the same whatever their order."""
    return hash_of(repr(sorted(facts.items())).encode())


def hash_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
