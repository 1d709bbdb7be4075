"""A level of the network in one walk over memory, in float32 on any processor with vectors.

Convolutions and the passes between them take turns over a few rows, so that what lies between two of them never leaves
the processor's cache. Rows wait in rings: row y of a ring of n rows lies at place y mod n.
"""

# pyright: basic, reportCallIssue=false
# (what numba compiles is typed when it is called, and gives an intrinsic one argument more)
from __future__ import annotations

import numpy as np

from ..compiled.compiling import compiled
from ..compiled.numba_rows import clear, enlarged, four_rows, make_rows, paint_row, vertical
from . import lane_room
from .lane_convolutions import convolve_rows, halve_rows, raise_rows
from .lane_rows import blur_row, join_row, split_row
from .winograd import TILE

grow_room, shrink_room = compiled(lane_room.grow_room), compiled(lane_room.shrink_room)


@compiled
def shrink(
    layer, shape, scale, weights, bias, out, outputs, feature, feature_rows, reached, room, group, tiles, start, stop
):
    """Rows of an encoder level: FIR filter, strided convolution, activation.

    `shape` (height, width, channels) is of the encoder's feature, which `feature` is, or a ring of `feature_rows` of it
    that are made of `layer`. `reached` is where the last call with this `room` stopped: if at `start`, what lies in the
    rings is gone on with.
    """
    height, width, inputs = shape
    r1, r2, r3, r4, end = shrink_room(width, inputs, outputs, group, tiles)
    ring, sums, columns, values, products = room[:r1], room[r1:r2], room[r2:r3], room[r3:r4], room[r4:end]
    places, line, length = 2 * group + 2, (width + 2) * inputs, width * inputs
    if reached[0] != start:
        clear(sums, 0, len(sums))
        reached[1], reached[2] = 2 * start, max(2 * start - 2, 0)
    starts, inside = np.zeros(4, np.int64), np.zeros(4, np.bool_)
    blurred, row = reached[1], reached[2]  # the next row to be blurred, and of the feature
    for first in range(start, stop, group):
        last = min(first + group, stop)
        while blurred <= 2 * last:
            row = make_rows(layer, row, min(blurred + 2, height), width, inputs, feature, feature_rows)
            four_rows(blurred - 2, height, feature_rows, length, starts, inside)
            vertical(feature, starts, inside, length, sums, 2 * inputs)
            blur_row(sums, width + 1, inputs, scale, ring, blurred % places * line)
            blurred += 1
        halve_rows(
            ring, places, width, inputs, weights, bias, out, outputs, columns, values, products, tiles, first, last
        )
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
    halves,
    width,
    channels,
    feature,
    feature_rows,
    reached,
    room,
    group,
    raising,
    plain_tiles,
    strided_tiles,
    start,
    stop,
):
    """Rows of a decoder level; `out` gets so many `halves`, which may be 0.

    `below` is the level below's output, width / 2 wide and high, and `below_feature` and `below_k` what its second half
    is made of, if it has only the first; `image_below` is its image. `feature` is the encoder's of this level, or a
    ring of `feature_rows` of it that are made of `layer`. `reached` as for `shrink`.
    """
    size = width // 2
    r1, r2, r3, r4, r5, r6, r7, end = grow_room(width, channels, inputs, group, raising, plain_tiles, strided_tiles)
    lower, joined, raised, sums, result = room[:r1], room[r1:r2], room[r2:r3], room[r3:r4], room[r4:r5]
    columns, values, products = room[r5:r6], room[r6:r7], room[r7:end]
    wide, length = (width + 1) * channels, width * channels
    lower_places, places, raised_places = TILE * raising + 1, group + 2, len(raised) // wide
    lower_line, line = (size + 8) * inputs, (width + 2) * 2 * channels
    done = start + 1 if reached[0] == start else start - 1  # the next row to be joined
    if reached[0] != start:
        for part in (lower, joined, sums):
            clear(part, 0, len(part))
        reached[1] = max(start - 2, 0) // (2 * TILE)
        reached[2] = max(TILE * reached[1] - 1, 0)
    tile_row, row = reached[1], reached[2]  # the next row of tiles to be raised, and of the level below
    starts, inside = np.zeros(4, np.int64), np.zeros(4, np.bool_)
    shadow = np.zeros(3 * (size + 2), np.float32)
    for first in range(start, stop, group):
        last = min(first + group, stop)
        for y in range(done, last + 1):
            while 2 * TILE * tile_row <= min(y + 2, width):
                many = min(raising, min(stop + 2, width) // (2 * TILE) + 1 - tile_row)
                while row < TILE * (tile_row + many):
                    at = row % lower_places * lower_line
                    if row < size:
                        split_row(below, below_feature, below_k, row, size, inputs, lower, at)
                    else:
                        clear(lower, at, at + lower_line)
                    row += 1
                raise_rows(
                    lower,
                    lower_places,
                    tile_row,
                    many,
                    size,
                    inputs,
                    up_weights,
                    raised,
                    raised_places,
                    channels,
                    columns,
                    values,
                    products,
                    strided_tiles,
                )
                tile_row += many
            at = y % places * line
            if 0 <= y < width:
                for tap in range(4):
                    source = y - 1 + tap
                    starts[tap], inside[tap] = source % raised_places * wide, 0 <= source <= width
                vertical(raised, starts, inside, wide, sums, channels)
                make_rows(layer, y, y + 1, width, channels, feature, feature_rows)
                join_row(sums, width, channels, feature, y % feature_rows * length, up_k, joined, at)
            else:
                clear(joined, at, at + line)
        done = last + 1
        convolve_rows(
            joined,
            places,
            first,
            (last - first) // TILE,
            width,
            2 * channels,
            weights,
            result,
            channels,
            columns,
            values,
            products,
            plain_tiles,
        )
        for y in range(first, last):
            enlarged(image_below, size, y, shadow)
            i, f = (y - first) * length, y % feature_rows * length
            pixels, at = 3 * y * width, halves * y * length
            paint_row(result, i, width, channels, feature, f, k, rgb, bias, shadow, image, pixels, out, at, halves)
    reached[0], reached[1], reached[2] = stop, tile_row, row
