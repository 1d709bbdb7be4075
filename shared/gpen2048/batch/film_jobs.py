"""A film from its file to its output: cut into pieces, each on record like a picture, and joined when all are there."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..errors import GpenError
from ..films.opening import open_film
from ..films.reading import Film
from ..weight_files.verification import file_hash
from .film_cutting import spans
from .film_folders import keep_only, pieces_folder
from .film_joining import JoiningWriter, read_pieces
from .manifest import Manifest
from .outputs import FATAL, part_name
from .picture_jobs import not_read, with_output
from .pictures import FilmPiece, Restore, Span
from .recipe import Recipe, why_though_unchanged
from .records import Record, one_line
from .sources import Item

Job = Callable[[Restore], list[Record]]


def film_jobs(item: Item, manifest: Manifest, recipe: Recipe) -> Iterator[Job]:
    """One job for each piece of the film `item` that is not on record yet; the last to be done joins them all."""
    record = recipe.record(item)
    try:
        stat = item.source.stat()
        record = replace(
            record, source_hash=file_hash(item.source), source_size=stat.st_size, source_time=stat.st_mtime_ns
        )
        with open_film(item.source) as film:
            film.warn()
            cut = spans(film, recipe.piece)
    except (GpenError, OSError, ValueError) as error:
        what = not_read(error).removeprefix(f"{item.source}: ")  # the record names it
        yield partial(_fail, manifest, replace(record, error=what))
        return
    yield from _Film(item, record, cut, manifest, recipe).jobs()


def _fail(manifest: Manifest, record: Record, restore: Restore) -> list[Record]:
    return [manifest.add(record)]


class _Film:
    """A film in the making."""

    def __init__(self, item: Item, record: Record, cut: list[Span], manifest: Manifest, recipe: Recipe):
        self._item, self._record, self._manifest, self._recipe = item, record, manifest, recipe
        self._folder = pieces_folder(manifest, item.output)
        folder = self._folder.relative_to(manifest.destination)
        names = [(folder / f"{span.first or 0}-{span.last or 'end'}.packets").as_posix() for span in cut]
        self._pieces = dict(zip(names, cut))
        self._left = 0
        self._error = ""
        self._lock = threading.Lock()

    def jobs(self) -> Iterator[Job]:
        todo = [name for name in self._pieces if self._why(name)]
        self._left = len(todo)
        keep_only(self._folder, {Path(name).name for name in self._pieces if name not in todo})
        if not todo:
            yield lambda _: [self._join()]
        for name in todo:
            yield partial(self._do, name)

    def _why(self, name: str) -> str:
        record = self._manifest.get(name)
        if record is not None and record.source_hash != self._record.source_hash:
            return "changed"
        return why_though_unchanged(record, self._manifest, self._recipe)

    def _do(self, name: str, restore: Restore) -> list[Record]:
        """Restores a piece, unless another one has failed already; joins all after the last."""
        if self._error:
            return []
        suffix, path = Path(self._item.output).suffix, str(self._item.source.resolve())
        size, recipe = self._record.source_size, self._recipe
        piece = FilmPiece(path, size, self._pieces[name], suffix, recipe.codec, recipe.quality)
        (result,) = restore([piece])
        with self._manifest.writing():
            record = with_output(replace(self._record, output=name, film=self._item.output), result, self._manifest)
            record = self._manifest.add(record)
        with self._lock:
            self._left -= 1
            if record.error and not self._error:
                self._error = record.error
                return _fail(self._manifest, replace(self._record, error=record.error), restore)
            return [record, self._join()] if not self._left and not self._error else [record]

    def _join(self) -> Record:
        """Puts all pieces together with sound and subtitles, which is the film; then they are not needed any more."""
        records = [self._manifest.get(name) for name in self._pieces]
        done = [record for record in records if record is not None]
        notes = {piece.note for piece in done if piece.note}
        record = replace(
            self._record,
            faces=sum(piece.faces for piece in done),
            restored=sum(piece.restored for piece in done),
            frames=sum(piece.frames for piece in done),
            seconds=round(sum(piece.seconds for piece in done), 3),
            remark="; ".join(sorted({piece.remark for piece in done if piece.remark})),
        )
        try:
            part, film = self._write()
            notes |= {problem for problem in film.problems if problem not in "; ".join(notes)}
            record = replace(record, part=part.name, output_size=part.stat().st_size, note="; ".join(sorted(notes)))
            record = replace(record, remark="; ".join(filter(None, (record.remark, *film.notes))))
        except (GpenError, OSError) as error:
            if isinstance(error, OSError) and error.errno in FATAL:
                raise
            record = replace(record, error=one_line(error))
        record = self._manifest.add(record)
        if not record.error:
            shutil.rmtree(self._folder, ignore_errors=True)
        return record

    def _write(self) -> tuple[Path, Film]:
        """The film, whole and on the disk, under a name that is not its own yet; and the one it was made of."""
        target = self._manifest.target(self._item.output)
        pieces = read_pieces(self._manifest.target(name) for name in self._pieces)
        whole = self._folder / f"joined{target.suffix}"
        codec, quality = self._recipe.codec, self._recipe.quality
        with (
            open_film(self._item.source) as film,
            JoiningWriter(whole, film, codec=codec, quality=quality) as writer,
        ):
            writer.join(pieces)
        with whole.open("rb+") as file:
            os.fsync(file.fileno())
        return whole.replace(part_name(target)), film
