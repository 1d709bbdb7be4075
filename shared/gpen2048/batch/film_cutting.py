"""Where a film is cut into pieces that may be restored anywhere, in any order, and come out as in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

from ..films.frames import FilmFrame
from ..films.reading import Film
from ..sequence import CONTEXT_AFTER, CONTEXT_BEFORE
from .pictures import Span


def spans(film: Film, length: int) -> list[Span]:
    """The pieces of `film`: of `length` frames or more up to the next keyframe, but never of more than twice as many.

    A film that does not tell the times of its frames, each its own, is one piece.
    """
    times = film.times()
    cuts = list(_cuts([is_key for _, is_key in times], length))
    if not cuts or len({time for time, _ in times}) < len(times):
        return [Span()]
    bounds = [0, *cuts, len(times)]
    at = [time for time, _ in times]

    def time(index: int) -> int | None:
        return at[index] if 0 < index < len(at) else None

    return [
        Span(time(first), time(last), time(max(0, first - CONTEXT_BEFORE)), time(last + CONTEXT_AFTER))
        for first, last in pairwise(bounds)
    ]


def _cuts(is_key: list[bool], length: int) -> Iterator[int]:
    """Numbers of the frames that begin a piece, but for the first."""
    begun = 0
    for number, key in enumerate(is_key):
        if number - begun >= (length if key else 2 * length) and len(is_key) - number >= length // 2:
            begun = number
            yield number


def with_context(film: Film, span: Span) -> tuple[Iterator[FilmFrame], tuple[int, int]]:
    """The frames of `span` and those around them, and how many of these come before and after.

    Those are counted as they are decoded: a damaged film may have fewer than it tells.
    """
    known = len(film.problems)
    before = [] if span.first is None else list(film.frames(span.begin, span.first))
    after = [] if span.last is None else list(film.frames(span.last, span.end))
    del film.problems[known:]  # of other pieces, which tell of them
    return _chain(before, film, span, after), (len(before), len(after))


def _chain(before: Iterable[FilmFrame], film: Film, span: Span, after: Iterable[FilmFrame]) -> Iterator[FilmFrame]:
    yield from before
    yield from film.frames(span.first, span.last)
    yield from after
