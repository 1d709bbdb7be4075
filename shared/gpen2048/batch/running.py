"""A batch: what there is to do is done on the seats of an engine, and put on record as it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Protocol

from .manifest import Manifest
from .picture_jobs import do_pictures
from .pictures import Restore
from .recipe import Recipe
from .records import Record
from .seats import spread
from .sources import Item

Job = Callable[[Restore], list[Record]]


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


def run(items: Iterable[Item], engine: Engine, manifest: Manifest, recipe: Recipe) -> Iterator[Record]:
    """Restores `items`, writes them below the manifest's folder, and gives the record of each as it is done.

    Of a film there come the records of its pieces, too. Raises what ends the run as a whole: a full disk, an engine
    that cannot work, the interrupt of the user.
    """
    seats = [partial(_take_seat, seat) for seat in engine.seats()]
    for records in spread(seats, _jobs(items, engine.chunk, manifest, recipe), engine.stop):
        yield from records


def _take_seat(seat: Callable[[], Restore]) -> Callable[[Job], list[Record]]:
    restore = seat()
    return lambda job: job(restore)


def _jobs(items: Iterable[Item], chunk: int, manifest: Manifest, recipe: Recipe) -> Iterator[Job]:
    """Pictures by the chunk; films by the piece, each when it comes to it."""
    pictures: list[Item] = []
    for item in items:
        if item.is_film:
            from .film_jobs import film_jobs

            yield from film_jobs(item, manifest, recipe)
            continue
        pictures.append(item)
        if len(pictures) == chunk:
            yield partial(do_pictures, manifest, recipe, pictures)
            pictures = []
    if pictures:
        yield partial(do_pictures, manifest, recipe, pictures)
