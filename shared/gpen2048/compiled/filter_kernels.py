"""Separable filters as compiled loops, groups of rows at a time. Imported on first use only, as numba is.

`rows` are of the output: row n is made of source rows first[n] on, each times one of weights[n] (N, K); so are columns.
What lies between the two steps stays in the processor's cache.
"""

# pyright: basic, reportCallIssue=false
# (what numba compiles is typed when it is called, and gives an intrinsic one argument more)
from __future__ import annotations

import numpy as np

from .compiling import compiled
from .numba_lanes import add, load, multiply, splat, store

ZERO = np.float32(0)
LANES = 16
GROUP = 16  # rows of the output, one in each lane of the second step
BLOCK = 64  # columns of the source: those of all rows that an output row needs stay in the innermost cache


@compiled
def copy_block(image, first, steps, rows, width, block):
    """So many `rows` of `width` columns from element `first` on, BLOCK elements from row to row.

    `steps` are the elements of the flat `image` from row to row and from column to column.
    """
    for y in range(rows):
        line, at, step = block[y * BLOCK : (y + 1) * BLOCK], first + y * steps[0], steps[1]
        for x in range(width):
            line[x] = image[at + x * step]


@compiled
def sum_rows(block, start, weights, out):
    """BLOCK elements of `out`: as many rows of the block as there are weights, from element `start` on.

    Also of columns that the block lacks; nobody reads those.
    """
    a, b, c, d = splat(ZERO), splat(ZERO), splat(ZERO), splat(ZERO)
    for k in range(len(weights)):
        i, weight = start + k * BLOCK, splat(weights[k])
        a = add(a, multiply(weight, load(block, i)))
        b = add(b, multiply(weight, load(block, i + LANES)))
        c = add(c, multiply(weight, load(block, i + 2 * LANES)))
        d = add(d, multiply(weight, load(block, i + 3 * LANES)))
    store(out, 0, a)
    store(out, LANES, b)
    store(out, 2 * LANES, c)
    store(out, 3 * LANES, d)


@compiled
def filter_down(image, at, steps, seen, first, weights, rows, block, line, columns):
    """A group's `rows` (first, last) of the output before columns are filtered: pixel by pixel, a row in each lane.

    Only the columns that are `seen` (first, last) of the plane that begins at element `at`.
    """
    group = first[rows[0] : rows[1]]
    top, bottom = group.min(), group.max() + weights.shape[1]
    for left in range(seen[0], seen[1], BLOCK):
        width = min(BLOCK, seen[1] - left)
        copy_block(image, at + top * steps[0] + left * steps[1], steps, bottom - top, width, block)
        for n in range(rows[0], rows[1]):
            sum_rows(block, (first[n] - top) * BLOCK, weights[n], line)
            lane = (left - seen[0]) * LANES + n - rows[0]
            for x in range(width):
                columns[lane + x * LANES] = line[x]


@compiled
def filter_along(columns, first, weights, rows, tile, out):
    """Rows (first, last) of the plane `out`, of what `filter_down` has made of them."""
    for left in range(0, out.shape[1], LANES):
        width = min(LANES, out.shape[1] - left)
        for x in range(width):
            sum, taps = splat(ZERO), weights[left + x]
            for k in range(len(taps)):
                sum = add(sum, multiply(splat(taps[k]), load(columns, (first[left + x] + k) * LANES)))
            store(tile, x * LANES, sum)
        for n in range(rows[0], rows[1]):
            for x in range(width):
                out[n, left + x] = tile[x * LANES + n - rows[0]]


@compiled
def tallest(first, count):
    """The most source rows that a group of rows needs, of which each needs `count`."""
    most = 0
    for n in range(0, len(first), GROUP):
        part = first[n : n + GROUP]
        most = max(most, part.max() - part.min() + count)
    return most


@compiled
def filter_groups(image, steps, seen, row_first, row_weights, column_first, column_weights, out, start, stop):
    """Groups `start` to `stop` of rows of `out` (C, H', W'), those of the first plane first, from `image` (C, H, W).

    That is flat, with so many `steps` from plane to plane, row to row and column to column. `column_first` are counted
    from the first of the columns that are `seen` (first, last).
    """
    groups = (out.shape[1] + GROUP - 1) // GROUP
    block = np.empty(tallest(row_first, row_weights.shape[1]) * BLOCK, np.float32)
    columns = np.zeros((seen[1] - seen[0]) * LANES, np.float32)  # also in the lanes of rows that a last group lacks
    line, tile = np.empty(BLOCK, np.float32), np.empty(LANES * LANES, np.float32)
    for number in range(start, stop):
        plane, top = number // groups, number % groups * GROUP
        rows = (top, min(top + GROUP, out.shape[1]))
        filter_down(image, plane * steps[0], steps[1:], seen, row_first, row_weights, rows, block, line, columns)
        filter_along(columns, column_first, column_weights, rows, tile, out[plane])
