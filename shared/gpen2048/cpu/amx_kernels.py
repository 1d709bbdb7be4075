"""A level of the network in one walk over memory, on Intel's matrix tiles.

Convolutions and the passes between them take turns over a few rows, so that what lies between two of them never leaves
the processor's cache. Rows wait in rings: row y of a ring of n rows lies at place y mod n. Convolutions read rings of
bfloat16 values, in float32 followed by a second ring with what rounding took from the first.
"""

# pyright: basic, reportCallIssue=false
# (what numba compiles is typed when it is called, and gives an intrinsic one argument more)
from __future__ import annotations

import numpy as np

from ..compiled.compiling import compiled
from ..compiled.numba_rows import (
    activate_row,
    blur_row,
    clear,
    enlarged,
    four_rows,
    join_row,
    make_rows,
    paint_row,
    vertical,
)
from . import amx_room
from .amx_convolutions import raise_rows, split_rows, three_by_three
from .amx_tiles import configure, release

shrink_room, grow_room = compiled(amx_room.shrink_room), compiled(amx_room.grow_room)


@compiled
def shrink(
    layer,
    shape,
    scale,
    weights,
    bias,
    out,
    outputs,
    feature,
    feature_rows,
    reached,
    halves,
    floats,
    group,
    exact,
    shapes,
    start,
    stop,
):
    """Rows of an encoder level: FIR filter, strided convolution, activation.

    `shape` (height, width, channels) is of the encoder's feature, which `feature` is, or a ring of `feature_rows` of it
    that are made of `layer`. `reached` is where the last call with this memory stopped: if at `start`, what lies in the
    rings is gone on with.
    """
    height, width, inputs = shape
    line, ring, _ = shrink_room(width, inputs, outputs, group)
    residue = (ring * line + 32) if exact else 0
    length, span = width * inputs, width // 2 * outputs
    result = length + 5 * inputs
    if reached[0] != start:
        clear(halves, 0, (ring * line + 32) * (2 if exact else 1))
        clear(floats, 0, result)
        reached[1], reached[2] = 2 * start, max(2 * start - 2, 0)
    starts, inside = np.zeros(4, np.int64), np.zeros(4, np.bool_)
    blurred, row = reached[1], reached[2]  # the next row to be blurred, and of the feature
    configure(shapes)
    for first in range(start, stop, group):
        last = min(first + group, stop)
        while blurred <= 2 * last:
            row = make_rows(layer, row, min(blurred + 2, height), width, inputs, feature, feature_rows)
            four_rows(blurred - 2, height, feature_rows, length, starts, inside)
            vertical(feature, starts, inside, length, floats, 2 * inputs)
            blur_row(floats, 0, length + inputs, inputs, scale, halves, blurred % ring * line, residue)
            blurred += 1
        three_by_three(
            halves, residue, ring, line, 0, 2, inputs, weights, floats, result, width // 2, outputs, first, last
        )
        for y in range(first, last):
            activate_row(floats, result + (y - first) * span, span, bias, outputs, out, y * span)
    release()
    reached[0], reached[1], reached[2] = stop, blurred, row


@compiled
def grow(
    below,
    below_feature,
    below_k,
    inputs,
    up_weights,
    up_k,
    layer,
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
    feature,
    feature_rows,
    reached,
    halves,
    floats,
    group,
    exact,
    shapes,
    start,
    stop,
):
    """Rows of a decoder level; `out` gets `out_halves`, which may be 0.

    `below` is the level below's output, width / 2 wide and high, and `below_feature` and `below_k` what its second half
    is made of, if it has only the first; `image_below` is its image. `feature` is the encoder's of this level, or a
    ring of `feature_rows` of it that are made of `layer`. `reached` as for `shrink`.
    """
    size = width // 2
    below_line, line, _ = grow_room(width, channels, inputs, group)
    below_ring, ring, raised_ring = group // 2 + 1, group + 2, group + 4
    below_residue, residue = (below_ring * below_line, ring * line) if exact else (0, 0)
    joined = halves[below_ring * below_line + below_residue :]
    wide, length = (width + 1) * channels, width * channels
    sums = raised_ring * wide
    result = sums + wide + 2 * channels
    done = start + 1 if reached[0] == start else start - 1  # the next row to be joined
    if reached[0] != start:
        clear(halves, 0, below_ring * below_line + below_residue + ring * line + residue)
        clear(floats, sums, result)
        reached[1] = max(start - 2, 0) // 2
        reached[2] = max(reached[1] - 1, 0)
    starts, inside = np.zeros(4, np.int64), np.zeros(4, np.bool_)
    shadow = np.zeros(3 * (size + 2), np.float32)
    pairs, rows = np.zeros(2, np.int64), np.zeros(2, np.int64)
    pairs[1], rows[1] = reached[1], reached[2]  # half the next row to be raised, and the next row of the level below
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
                make_rows(layer, y, y + 1, width, channels, feature, feature_rows)
                f = y % feature_rows * length
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
            i, f = result + (y - first) * length, y % feature_rows * length
            pixels, at = 3 * y * width, out_halves * y * length
            paint_row(floats, i, width, channels, feature, f, k, rgb, bias, shadow, image, pixels, out, at, out_halves)
    release()
    reached[0], reached[1], reached[2] = stop, pairs[1], rows[1]
