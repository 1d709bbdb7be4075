"""A picture halved, and how finely it is detailed, as compiled loops. Imported on first use only, as numba is."""

# pyright: basic
# (what numba compiles is typed when it is called)
from __future__ import annotations

import numpy as np

from .compiling import compiled

HALF, QUARTER = np.float32(0.5), np.float32(0.25)


@compiled
def mean_row(upper, lower, out):
    """Means of 2 x 2 of two rows, whose odd last sample counts twice."""
    whole = len(upper) // 2
    for i in range(whole):
        j = np.uintp(2 * i)
        out[i] = QUARTER * ((upper[j] + upper[j + np.uintp(1)]) + (lower[j] + lower[j + np.uintp(1)]))
    if whole < len(out):
        out[whole] = HALF * (upper[len(upper) - 1] + lower[len(lower) - 1])


@compiled
def halve(x, out, start, stop):
    """Rows of `out` (C, h, w): means of 2 x 2 of `x` (C, H, W), whose odd last row or column counts twice."""
    for row in range(start, stop):
        for c in range(len(x)):
            mean_row(x[c, 2 * row], x[c, min(2 * row + 1, x.shape[1] - 1)], out[c, row])


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
def bend_row(here, above, below, squares):
    """Adds the detail of every other sample of a whole row."""
    columns = len(squares)
    bend_end(here, above, below, 0, squares)
    bend(here, above, below, 1, columns - 1, squares)
    if columns > 1:
        bend_end(here, above, below, columns - 1, squares)


@compiled
def mean_blocks(line, block, channels, squares):
    """`squares`: means over so many samples of the sums in `line`."""
    for i in range(len(squares)):
        part = line[i * block : min((i + 1) * block, len(line))]
        squares[i] = QUARTER * part.sum() / np.float32(len(part) * channels)


@compiled
def detail(x, block, squares, start, stop):
    """Rows of `squares` (h, blocks): how every other sample of every other row of `x` (C, H, W) is detailed."""
    channels, height = len(x), x.shape[1]
    line = np.empty((x.shape[2] + 1) // 2, np.float32)
    for row in range(start, stop):
        line[:] = np.float32(0)
        for c in range(channels):
            under = 2 * row if 2 * row + 1 == height else 2 * row + 1
            bend_row(x[c, 2 * row], x[c, 2 * row - 1 if row else under], x[c, under], line)
        mean_blocks(line, block, channels, squares[row])


@compiled
def halve_twice(x, out, block, squares, start, stop):
    """Rows of `out` (C, h, w), `x` (C, H, W) halved twice, and of the `detail` of the copy between, itself not kept."""
    channels, height, columns = len(x), x.shape[1], (x.shape[2] + 1) // 2
    rows = (height + 1) // 2
    lines = np.empty((channels, 3, columns), np.float32)  # the copy's: odd ones in turn, and an even one
    sums = np.empty((columns + 1) // 2, np.float32)
    if start:
        for c in range(channels):
            mean_row(x[c, 4 * start - 2], x[c, 4 * start - 1], lines[c, start % 2])
    for row in range(start, stop):
        sums[:] = np.float32(0)
        for c in range(channels):
            above, here, under = lines[c, row % 2], lines[c, 2], lines[c, (row + 1) % 2]
            mean_row(x[c, 4 * row], x[c, min(4 * row + 1, height - 1)], here)
            if 2 * row + 1 < rows:
                mean_row(x[c, 4 * row + 2], x[c, min(4 * row + 3, height - 1)], under)
            else:
                under = here
            bend_row(here, above if row else under, under, sums)
            mean_row(here, under, out[c, row])
        mean_blocks(sums, block, channels, squares[row])
