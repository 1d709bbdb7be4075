"""All compiled loops around the network. Imported on first use only: numba is."""

# pyright: basic
# (what numba compiles is typed when it is called)
from __future__ import annotations

import numpy as np

from .compiling import compiled
from .compositing_kernels import blend, box, lay, show
from .spline_kernels import read_rows, warp_tiles

__all__ = ["blend", "box", "halve", "lay", "read_rows", "show", "warp_tiles"]

HALF, QUARTER = np.float32(0.5), np.float32(0.25)


@compiled
def halve_row(here, above, below, first, last, out, squares):
    """Columns `first` to `last` of a halved row, of which none is at the image's border, from three rows."""
    for i in range(first, last):
        j = np.uintp(2 * i)
        left, middle, right = here[j - np.uintp(1)], here[j], here[j + np.uintp(1)]
        under = below[j]
        out[i] = QUARTER * ((middle + right) + (under + below[j + np.uintp(1)]))
        along, across = HALF * (left + right) - middle, HALF * (above[j] + under) - middle
        squares[i] += along * along + across * across


@compiled
def halve_end(here, above, below, i, out, squares):
    """The same for a column at the border: an odd last one counts twice, and the first is its own neighbour's."""
    j = 2 * i
    right = min(j + 1, len(here) - 1)
    left = j - 1 if j > 0 else right
    out[i] = QUARTER * ((here[j] + here[right]) + (below[j] + below[right]))
    along, across = HALF * (here[left] + here[right]) - here[j], HALF * (above[j] + below[j]) - here[j]
    squares[i] += along * along + across * across


@compiled
def halve(x, block, out, squares, start, stop):
    """Rows of `out` (C, h, w) from `x` (C, H, W), and the detail of those of x in `squares` (h, blocks)."""
    channels, height, columns = len(x), x.shape[1], out.shape[2]
    line = np.empty(columns, np.float32)
    for row in range(start, stop):
        line[:] = np.float32(0)
        for c in range(channels):
            under = 2 * row if 2 * row + 1 == height else 2 * row + 1
            here, above, below = x[c, 2 * row], x[c, 2 * row - 1 if row else under], x[c, under]
            halve_end(here, above, below, 0, out[c, row], line)
            halve_row(here, above, below, 1, columns - 1, out[c, row], line)
            if columns > 1:
                halve_end(here, above, below, columns - 1, out[c, row], line)
        for i in range(squares.shape[1]):
            part = line[i * block : min((i + 1) * block, columns)]
            squares[row, i] = QUARTER * part.sum() / np.float32(len(part) * channels)
