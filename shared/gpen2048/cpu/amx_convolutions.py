"""Convolutions between rings of rows, on Intel's matrix tiles, and what they read of the level below."""

# pyright: basic, reportCallIssue=false
# (what numba compiles is typed when it is called, and gives an intrinsic one argument more)
from __future__ import annotations

import numpy as np

from ..compiled.compiling import compiled
from ..compiled.numba_lanes import load
from ..compiled.numba_rows import clear, copy_row, put, second_half
from .amx_products import block_size, convolve_row, packed_size


@compiled
def three_by_three(x, residue, ring, line, first, stride, inputs, weights, out, to, size, outputs, start, stop):
    """Rows `start` to `stop` of `size` pixels, from `to` on in out; row y is made of rows stride y + first and on."""
    rows = np.zeros(3, np.int64)
    block, _ = block_size(outputs)
    packed = packed_size(3, 3 * inputs, outputs, residue)
    for n in range(0, outputs, block):
        at = n // block * packed
        for y in range(start, stop):
            for r in range(3):
                rows[r] = (stride * y + first + r) % ring * line
            place = to + (y - start) * size * outputs + n
            convolve_row(x, residue, rows, 3 * inputs, stride * inputs, weights, at, out, place, outputs, size, outputs)


@compiled
def split_row(x, feature, k, row, width, inputs, halves, at, residue):
    """A row of a level's output, of which `x` holds all `inputs` channels, or the first half.

    The second is then made of `feature` and the constants `k`.
    """
    half = inputs // 2
    if feature.size == 0:
        copy_row(x, row * width * inputs, width * inputs, halves, at, residue)
        return
    for pixel in range(width):
        i, to = (row * width + pixel) * half, at + pixel * inputs
        for c in range(0, half, 16):
            put(halves, to + c, residue, load(x, i + c))
            put(halves, to + half + c, residue, second_half(feature, i, k, half, c))


@compiled
def split_rows(below, feature, k, size, inputs, rows, halves, residue, line, ring):
    """Rows rows[0] to rows[1] of the level below into its ring; below its last row is zero."""
    for row in range(rows[0], rows[1]):
        at = row % ring * line + inputs
        if row < size:
            split_row(below, feature, k, row, size, inputs, halves, at, residue)
        else:
            clear(halves, at, at + size * inputs)
            clear(halves, at + residue, at + residue + size * inputs)


@compiled
def raise_rows(halves, residue, line, ring, weights, pairs, size, inputs, outputs, out, out_ring):
    """Rows 2p and 2p + 1 for every p of `pairs`: the transposed convolution of rows p - 1 and p, by parity.

    An even row or column gets two of the three weights, an odd one the middle one.
    """
    block, _ = block_size(outputs)
    wide = (2 * size + 1) * outputs
    rows = np.zeros(2, np.int64)
    at = 0
    for odd_row in range(2):
        taps = 1 if odd_row else 2
        for odd in range(2):
            depth = inputs if odd else 2 * inputs
            count = size + 1 - odd
            packed = packed_size(taps, depth, outputs, residue)
            for n in range(0, outputs, block):
                for p in range(pairs[0], min(pairs[1], size + 1 - odd_row)):
                    for r in range(taps):
                        rows[r] = (p - 1 + r + odd_row) % ring * line + odd * inputs
                    to = (2 * p + odd_row) % out_ring * wide + odd * outputs + n
                    convolve_row(
                        halves, residue, rows[:taps], depth, inputs, weights, at, out, to, 2 * outputs, count, outputs
                    )
                at += packed
