"""A level of the network in one walk over memory, on Intel's matrix tiles.

Convolutions and the passes between them take turns over a few rows, so that what lies between two of them never leaves
the processor's cache. Rows wait in rings: row y of a ring of n rows lies at place y mod n. Convolutions read rings of
bfloat16 values, in float32 followed by a second ring with what rounding took from the first.
"""

# pyright: basic, reportCallIssue=false
# (what numba compiles is typed when it is called, and gives an intrinsic one argument more)
from __future__ import annotations

import numpy as np

from . import amx_room
from .amx_products import block_size, convolve_row, packed_size
from .amx_tiles import configure, release
from .compiling import compiled
from .numba_kernels import four_rows
from .numba_lanes import load
from .numba_rows import (
    activate_row,
    blur_row,
    clear,
    copy_row,
    enlarged,
    join_row,
    paint_row,
    put,
    second_half,
    vertical,
)

shrink_room, grow_room = compiled(amx_room.shrink_room), compiled(amx_room.grow_room)


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
def shrink(feature, shape, top, scale, weights, bias, out, outputs, halves, floats, group, exact, shapes, start, stop):
    """Rows of an encoder level: FIR filter, strided convolution, activation.

    `shape` (height, width, channels) is of the whole feature, of which `feature` holds the rows from `top` on.
    """
    height, width, inputs = shape
    line, ring, _ = shrink_room(width, inputs, outputs, group)
    residue = (ring * line + 32) if exact else 0
    clear(halves, 0, (ring * line + 32) * (2 if exact else 1))
    length, span = width * inputs, width // 2 * outputs
    result = length + 5 * inputs
    clear(floats, 0, result)
    starts, inside = np.zeros(4, np.int64), np.zeros(4, np.bool_)
    blurred = 2 * start
    configure(shapes)
    for first in range(start, stop, group):
        last = min(first + group, stop)
        while blurred <= 2 * last:
            four_rows(blurred - 2, height, length, starts, inside)
            for tap in range(4):
                starts[tap] -= top * length
            vertical(feature, starts, inside, length, floats, 2 * inputs)
            blur_row(floats, 0, length + inputs, inputs, scale, halves, blurred % ring * line, residue)
            blurred += 1
        three_by_three(
            halves, residue, ring, line, 0, 2, inputs, weights, floats, result, width // 2, outputs, first, last
        )
        for y in range(first, last):
            activate_row(floats, result + (y - first) * span, span, bias, outputs, out, y * span)
    release()


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


@compiled
def grow(
    below,
    below_feature,
    below_k,
    inputs,
    up_weights,
    up_k,
    feature,
    top,
    weights,
    k,
    rgb,
    bias,
    image_below,
    image,
    out,
    out_halves,
    width,
    channels,
    halves,
    floats,
    group,
    exact,
    shapes,
    start,
    stop,
):
    """Rows of a decoder level; `feature` holds the rows from `top` on, `out` gets `out_halves`, which may be 0.

    `below` is the level below's output, width / 2 wide and high, and `below_feature` and `below_k` what its second half
    is made of, if it has only the first; `image_below` is its image.
    """
    size = width // 2
    below_line, line, _ = grow_room(width, channels, inputs, group)
    below_ring, ring, raised_ring = group // 2 + 1, group + 2, group + 4
    below_residue, residue = (below_ring * below_line, ring * line) if exact else (0, 0)
    joined = halves[below_ring * below_line + below_residue :]
    wide, length = (width + 1) * channels, width * channels
    sums = raised_ring * wide
    result = sums + wide + 2 * channels
    clear(halves, 0, below_ring * below_line + below_residue + ring * line + residue)
    clear(floats, sums, result)
    starts, inside = np.zeros(4, np.int64), np.zeros(4, np.bool_)
    shadow = np.zeros(3 * (size + 2), np.float32)
    done = start - 1  # the next row to be joined
    pairs = np.zeros(2, np.int64)
    pairs[1] = max(start - 2, 0) // 2  # half the next row to be raised
    rows = np.zeros(2, np.int64)
    rows[1] = max(pairs[1] - 1, 0)  # the next row of the level below
    configure(shapes)
    for first in range(start, stop, group):
        last = min(first + group, stop)
        for y in range(done, last + 1):
            while 2 * pairs[1] <= min(y + 2, width):
                pairs[0], pairs[1] = pairs[1], min(pairs[1] + group // 2, size + 1)
                rows[0], rows[1] = rows[1], pairs[1]
                split_rows(
                    below, below_feature, below_k, size, inputs, rows, halves, below_residue, below_line, below_ring
                )
                raise_rows(
                    halves,
                    below_residue,
                    below_line,
                    below_ring,
                    up_weights,
                    pairs,
                    size,
                    inputs,
                    channels,
                    floats,
                    raised_ring,
                )
            at = y % ring * line
            if 0 <= y < width:
                for tap in range(4):
                    row = y - 1 + tap
                    starts[tap], inside[tap] = row % raised_ring * wide, 0 <= row <= width
                vertical(floats, starts, inside, wide, floats, sums + channels)
                f = (y - top) * length
                join_row(floats, sums, width, channels, feature, f, up_k, joined, at + 2 * channels, residue)
            else:
                clear(joined, at, at + line)
                clear(joined, at + residue, at + residue + line)
        done = last + 1
        three_by_three(
            joined, residue, ring, line, -1, 1, 2 * channels, weights, floats, result, width, channels, first, last
        )
        for y in range(first, last):
            enlarged(image_below, size, y, shadow)
            i, f = result + (y - first) * length, (y - top) * length
            pixels, at = 3 * y * width, out_halves * y * length
            paint_row(floats, i, width, channels, feature, f, k, rgb, bias, shadow, image, pixels, out, at, out_halves)
    release()
