"""The three convolutions of a level over some rows of a ring of chunks, by `winograd_kernels`.

Row y of a ring of n rows lies at place y mod n.
"""

# pyright: basic, reportCallIssue=false
# (what numba compiles is typed when it is called, and gives an intrinsic one argument more)
from __future__ import annotations

import numpy as np

from ..compiled.compiling import compiled
from .winograd import TILE
from .winograd_kernels import (
    NINE,
    SIX,
    column_steps,
    evaluate_down,
    interpolate_plain,
    interpolate_strided,
    interpolate_transposed,
    multiply_tiles,
    pass_number,
    passes,
    whole,
)


@compiled
def halve_rows(ring, places, width, inputs, weights, bias, out, outputs, columns, values, products, tiles, first, last):
    """Rows `first` to `last`, whole tiles, of an encoder level; row y is made of blurred rows 2y to 2y + 2."""
    line, step, chunks = (width + 2) * inputs, (width + 2) * 16, inputs // 16
    rows, across = (last - first) // TILE, width // 2 // TILE
    nine = np.zeros(2 * TILE + 1, np.int64)
    for number in range(passes(rows, across, tiles)):
        top, left, high, wide = pass_number(number, rows, across, tiles)
        seen, chunk, kind = column_steps(high, wide, 2, NINE, chunks)
        for n in range(high):
            for r in range(2 * TILE + 1):
                nine[r] = (2 * (first + TILE * (top + n)) + r) % places * line
            at = n * seen * 16
            evaluate_down(ring, nine, 128 * left, step, chunks, seen, 2, NINE, columns, at, chunk, kind)
        multiply_tiles(columns, high, wide, 2, NINE, inputs, values, weights, outputs, products)
        for n in range(high):
            to = ((first + TILE * (top + n)) * (width // 2) + TILE * left) * outputs
            many = whole(high * wide)
            interpolate_strided(products, outputs, n * wide, many, wide, values, bias, out, to, width // 2)


@compiled
def raise_rows(
    ring, places, first, rows, size, inputs, weights, out, out_places, outputs, columns, values, products, tiles
):
    """So many `rows` of tiles from `first` on of the convolution that doubles a level `size` pixels wide.

    A row of tiles is made of rows 4 first - 1 to 4 first + 3 of the level. It has a tile more than it has room for, of
    which only the first pixel is wanted.
    """
    line, step, chunks = (size + 8) * inputs, (size + 8) * 16, inputs // 16
    across, width = size // TILE + 1, 2 * size + 1
    five = np.zeros(TILE + 1, np.int64)
    for number in range(passes(rows, across, tiles)):
        top, left, high, wide = pass_number(number, rows, across, tiles)
        seen, chunk, kind = column_steps(high, wide, 1, NINE, chunks)
        for n in range(high):
            for r in range(TILE + 1):
                five[r] = (TILE * (first + top + n) + r - 1) % places * line
            at = n * seen * 16
            evaluate_down(ring, five, 64 * left, step, chunks, seen, 1, NINE, columns, at, chunk, kind)
        multiply_tiles(columns, high, wide, 1, NINE, inputs, values, weights, outputs, products)
        for n in range(high):
            to = 2 * TILE * (first + top + n) % out_places * width * outputs
            many, pixel = whole(high * wide), 2 * TILE * left
            interpolate_transposed(products, outputs, n * wide, many, wide, values, out, to, width, pixel)


@compiled
def convolve_rows(ring, places, first, rows, width, inputs, weights, out, outputs, columns, values, products, tiles):
    """`rows` of tiles, from row `first` on, of a 3x3 convolution of the ring's rows from first - 1 on."""
    line, step, chunks = (width + 2) * inputs, (width + 2) * 16, inputs // 16
    six = np.zeros(TILE + 2, np.int64)
    for number in range(passes(rows, width // TILE, tiles)):
        top, left, high, wide = pass_number(number, rows, width // TILE, tiles)
        seen, chunk, kind = column_steps(high, wide, 1, SIX, chunks)
        for n in range(high):
            for r in range(TILE + 2):
                six[r] = (first + TILE * (top + n) + r - 1) % places * line
            at = n * seen * 16
            evaluate_down(ring, six, 64 * left, step, chunks, seen, 1, SIX, columns, at, chunk, kind)
        multiply_tiles(columns, high, wide, 1, SIX, inputs, values, weights, outputs, products)
        for n in range(high):
            to = TILE * ((top + n) * width + left) * outputs
            interpolate_plain(products, outputs, n * wide, whole(high * wide), wide, values, out, to, width)
