"""All compiled loops around the network. Imported on first use only: numba is."""

# pyright: basic
# (what numba compiles is typed when it is called)
from __future__ import annotations

import numpy as np

from .compiling import compiled
from .compositing_kernels import blend, box, lay, show
from .spline_kernels import read_rows, warp_tiles

__all__ = ["blend", "box", "detail", "halve", "lay", "read_rows", "show", "warp_tiles"]

HALF, QUARTER = np.float32(0.5), np.float32(0.25)


@compiled
def halve(x, out, start, stop):
    """Rows of `out` (C, h, w): means of 2 x 2 of `x` (C, H, W), whose odd last row or column counts twice."""
    height, width = x.shape[1], x.shape[2]
    whole = width // 2
    for row in range(start, stop):
        for c in range(len(x)):
            upper, lower, line = x[c, 2 * row], x[c, min(2 * row + 1, height - 1)], out[c, row]
            for i in range(whole):
                j = np.uintp(2 * i)
                line[i] = QUARTER * ((upper[j] + upper[j + np.uintp(1)]) + (lower[j] + lower[j + np.uintp(1)]))
            if whole < len(line):
                line[whole] = HALF * (upper[width - 1] + lower[width - 1])


@compiled
def bend(here, above, below, first, last, squares):
    """Adds the detail of every other sample of a row, `first` to `last` of which none is at the image's border."""
    for i in range(first, last):
        j = np.uintp(2 * i)
        along = HALF * (here[j - np.uintp(1)] + here[j + np.uintp(1)]) - here[j]
        across = HALF * (above[j] + below[j]) - here[j]
        squares[i] += along * along + across * across


@compiled
def bend_end(here, above, below, i, squares):
    """The same at the border, where the first sample is its own neighbour's, and an odd last one its own."""
    j = 2 * i
    right = min(j + 1, len(here) - 1)
    left = j - 1 if j > 0 else right
    along, across = HALF * (here[left] + here[right]) - here[j], HALF * (above[j] + below[j]) - here[j]
    squares[i] += along * along + across * across


@compiled
def detail(x, block, squares, start, stop):
    """Rows of `squares` (h, blocks): how every other sample of every other row of `x` (C, H, W) is detailed."""
    channels, height, columns = len(x), x.shape[1], (x.shape[2] + 1) // 2
    line = np.empty(columns, np.float32)
    for row in range(start, stop):
        line[:] = np.float32(0)
        for c in range(channels):
            under = 2 * row if 2 * row + 1 == height else 2 * row + 1
            here, above, below = x[c, 2 * row], x[c, 2 * row - 1 if row else under], x[c, under]
            bend_end(here, above, below, 0, line)
            bend(here, above, below, 1, columns - 1, line)
            if columns > 1:
                bend_end(here, above, below, columns - 1, line)
        for i in range(squares.shape[1]):
            part = line[i * block : min((i + 1) * block, columns)]
            squares[row, i] = QUARTER * part.sum() / np.float32(len(part) * channels)
