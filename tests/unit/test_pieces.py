"""Rows divided among threads of unequal speed."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

import pytest
from gpen2048.compiled.pieces import Piece, Pieces
from gpen2048.folded.walks import piece_rows


def rows_of(pieces: list[Piece]) -> list[int]:
    return sorted(row for start, stop in pieces for row in range(start, stop))


def done_by(pieces: Pieces, worker: int) -> list[Piece]:
    """All that is left, in the order in which the worker does it."""
    done: list[Piece] = []
    pieces.work(worker, lambda start, stop: done.append((start, stop)))
    return done


@pytest.mark.parametrize(("count", "workers", "unit", "together"), [(2048, 2, 128, 4), (100, 3, 16, 4), (7, 4, 2, 1)])
def test_every_row_is_done_once_whoever_does_it(count: int, workers: int, unit: int, together: int) -> None:
    for only in range(workers):
        done = done_by(Pieces(count, workers, unit, together), only)
        assert rows_of(done) == list(range(count))
        assert all(start % together == 0 and 0 < stop - start <= unit for start, stop in done)


def test_one_who_is_done_takes_the_second_half_of_what_the_slowest_has_left() -> None:
    pieces = Pieces(160, 2, 10)
    done: list[Piece] = []
    pieces.work(1, lambda start, stop: done.extend(done_by(pieces, 0)))  # is at its first while the other does the rest
    taken = [*range(0, 80, 10), *(120, 130, 140, 150), *(100, 110), 90]  # each time in one run, rising
    assert done == [(start, start + 10) for start in taken]


def test_threads_of_unequal_speed_are_all_busy_to_the_end() -> None:
    """The slow one does its first piece for as long as the others do all the rest."""
    pieces = Pieces(96, 3, 4)
    done: dict[int, list[Piece]] = {0: [], 1: [], 2: []}
    others_done = threading.Event()

    def task(worker: int) -> Callable[[int, int], None]:
        def do(start: int, stop: int) -> None:
            if worker == 0:
                assert others_done.wait(60)
            done[worker].append((start, stop))

        return do

    threads = [threading.Thread(target=pieces.work, args=(worker, task(worker))) for worker in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads[1:]:
        thread.join(60)
    others_done.set()
    threads[0].join(60)
    assert len(done[0]) <= 1  # none where it started when all was done
    assert rows_of(list(itertools.chain(*done.values()))) == list(range(96))


def test_after_a_failure_nobody_begins_another_piece() -> None:
    pieces = Pieces(100, 2, 10)
    with pytest.raises(ZeroDivisionError):
        pieces.work(0, lambda start, stop: start // (stop - stop))
    assert done_by(pieces, 1) == []


@pytest.mark.parametrize("threads", [1, 2, 3, 8, 16, 64])
@pytest.mark.parametrize("resolution", [64, 128, 512, 2048])
def test_pieces_are_whole_tiles_and_large_enough(resolution: int, threads: int) -> None:
    rows = piece_rows(resolution, threads)
    assert rows % 8 == 0 and rows >= 16
    assert resolution / threads / rows <= 16  # each but the first of another's costs some rows more
