"""A level of the network in one walk over memory, in float32 on any processor with vectors.

Rows wait in rings: row y of a ring of n rows lies at place y mod n. Convolutions read rings whose rows are chunks of 16
channels, and within a chunk pixels: neighbours are 16 elements apart, whatever the number of channels.
"""

# pyright: basic, reportCallIssue=false
# (what numba compiles is typed when it is called, and gives an intrinsic one argument more)
from __future__ import annotations

import numpy as np

from . import lane_room
from .compiling import compiled
from .lane_products import convolve_row
from .numba_kernels import four_rows
from .numba_lanes import add, leaky, load, multiply, splat, store
from .numba_rows import activate_row, clear, enlarged, horizontal, paint_row, second_half, vertical
from .winograd_kernels import convolve_tiles

grow_room, shrink_room = compiled(lane_room.grow_room), compiled(lane_room.shrink_room)


@compiled
def split_row(x, feature, k, row, width, inputs, out, at):
    """A row of a level's output into chunks; a pixel is left out at either end.

    `x` holds all `inputs` channels, or the first half; the second is then made of `feature` and the constants `k`.
    """
    step, half = (width + 2) * 16, inputs // 2
    stored = half if feature.size else inputs
    for pixel in range(width):
        i, to = row * width + pixel, at + 16 * (pixel + 1)
        for c in range(0, stored, 16):
            store(out, to + c // 16 * step, load(x, i * stored + c))
        for c in range(stored, inputs, 16):
            store(out, to + c // 16 * step, second_half(feature, i * half, k, half, c - stored))


@compiled
def blur_row(sums, width, channels, scale, out, at):
    """As `numba_rows.blur_row`: `width` pixels, an odd number, into chunks of the even ones and then the odd ones."""
    factor, step = splat(scale), (width + 1) * 16
    for pixel in range(width):
        to = at + pixel % 2 * (step // 2) + pixel // 2 * 16
        for c in range(0, channels, 16):
            store(out, to + c // 16 * step, multiply(factor, horizontal(sums, pixel * channels + c, channels)))


@compiled
def join_row(sums, width, channels, feature, start, k, out, at):
    """As `numba_rows.join_row`, into chunks; a pixel is left out at either end."""
    step = (width + 2) * 16
    for pixel in range(width):
        i, f, to = pixel * channels, start + pixel * channels, at + 16 * (pixel + 1)
        for c in range(0, channels, 16):
            v = leaky(add(multiply(horizontal(sums, i + c, channels), load(k, c)), load(k, channels + c)))
            store(out, to + c // 16 * step, multiply(v, load(k, 4 * channels + c)))
            store(out, to + (channels + c) // 16 * step, second_half(feature, f, k, channels, c))


@compiled
def halve_rows(ring, places, width, inputs, weights, out, outputs, start, stop):
    """Rows `start` to `stop` of the strided convolution; row y is made of blurred rows 2y to 2y + 2."""
    line, step, half = (width + 2) * inputs, (width + 2) * 16, (width + 2) * 8
    taps = np.zeros(9, np.int64)
    for o in range(0, outputs, 16):
        for y in range(start, stop):
            for r in range(3):
                for c in range(3):
                    taps[3 * r + c] = (2 * y + r) % places * line + c % 2 * half + c // 2 * 16
            to = (y - start) * (width // 2) * outputs + o
            at = 9 * inputs * o
            convolve_row(ring, taps, 9, step, inputs // 16, weights, at, out, to, outputs, width // 2)


@compiled
def shrink(feature, shape, top, scale, weights, bias, out, outputs, room, group, start, stop):
    """Rows of an encoder level: FIR filter, strided convolution, activation.

    `shape` (height, width, channels) is of the whole feature, of which `feature` holds the rows from `top` on.
    """
    height, width, inputs = shape
    first_sum, first_result, end = shrink_room(width, inputs, outputs, group)
    ring, sums, result = room[:first_sum], room[first_sum:first_result], room[first_result:end]
    places, line = 2 * group + 2, (width + 2) * inputs
    length, span = width * inputs, width // 2 * outputs
    clear(sums, 0, len(sums))
    starts, inside = np.zeros(4, np.int64), np.zeros(4, np.bool_)
    blurred = 2 * start
    for first in range(start, stop, group):
        last = min(first + group, stop)
        while blurred <= 2 * last:
            four_rows(blurred - 2, height, length, starts, inside)
            for tap in range(4):
                starts[tap] -= top * length
            vertical(feature, starts, inside, length, sums, 2 * inputs)
            blur_row(sums, width + 1, inputs, scale, ring, blurred % places * line)
            blurred += 1
        halve_rows(ring, places, width, inputs, weights, result, outputs, first, last)
        for y in range(first, last):
            activate_row(result, (y - first) * span, span, bias, outputs, out, y * span)


@compiled
def raise_rows(ring, places, weights, pairs, size, inputs, out, out_places, outputs):
    """Rows 2p and 2p + 1 for every p of `pairs`: the transposed convolution of rows p - 1 and p, by parity.

    An even row or column gets two of the three weights, an odd one the middle one.
    """
    line, step, wide = (size + 2) * inputs, (size + 2) * 16, (2 * size + 1) * outputs
    taps = np.zeros(4, np.int64)
    at = 0
    for odd_row in range(2):
        for odd in range(2):
            across, down = 2 - odd, 2 - odd_row
            for o in range(0, outputs, 16):
                for p in range(pairs[0], min(pairs[1], size + 1 - odd_row)):
                    for r in range(down):
                        for c in range(across):
                            taps[r * across + c] = (p - 1 + r + odd_row) % places * line + (c + odd) * 16
                    to = (2 * p + odd_row) % out_places * wide + odd * outputs + o
                    count = size + 1 - odd
                    convolve_row(
                        ring, taps, down * across, step, inputs // 16, weights, at, out, to, 2 * outputs, count
                    )
                at += down * across * inputs * 16


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
    halves,
    width,
    channels,
    room,
    group,
    tiles,
    start,
    stop,
):
    """Rows of a decoder level; `feature` holds the rows from `top` on, `out` gets so many `halves`, which may be 0.

    `below` is the level below's output, width / 2 wide and high, and `below_feature` and `below_k` what its second half
    is made of, if it has only the first; `image_below` is its image.
    """
    size = width // 2
    r1, r2, r3, r4, r5, r6, r7, end = grow_room(width, channels, inputs, group, tiles)
    lower, joined, raised, sums, result = room[:r1], room[r1:r2], room[r2:r3], room[r3:r4], room[r4:r5]
    values, products, columns = room[r5:r6], room[r6:r7], room[r7:end]
    lower_places, places, raised_places = group // 2 + 1, group + 2, group + 4
    lower_line, line = (size + 2) * inputs, (width + 2) * 2 * channels
    wide, length = (width + 1) * channels, width * channels
    for part in (lower, joined, sums):
        clear(part, 0, len(part))
    starts, inside = np.zeros(4, np.int64), np.zeros(4, np.bool_)
    shadow = np.zeros(3 * (size + 2), np.float32)
    done = start - 1  # the next row to be joined
    pairs = np.zeros(2, np.int64)
    pairs[1] = max(start - 2, 0) // 2  # half the next row to be raised
    row = max(pairs[1] - 1, 0)  # the next row of the level below
    for first in range(start, stop, group):
        last = min(first + group, stop)
        for y in range(done, last + 1):
            while 2 * pairs[1] <= min(y + 2, width):
                pairs[0], pairs[1] = pairs[1], min(pairs[1] + group // 2, size + 1)
                while row < pairs[1]:
                    at = row % lower_places * lower_line
                    if row < size:
                        split_row(below, below_feature, below_k, row, size, inputs, lower, at)
                    else:
                        clear(lower, at, at + lower_line)
                    row += 1
                raise_rows(lower, lower_places, up_weights, pairs, size, inputs, raised, raised_places, channels)
            at = y % places * line
            if 0 <= y < width:
                for tap in range(4):
                    source = y - 1 + tap
                    starts[tap], inside[tap] = source % raised_places * wide, 0 <= source <= width
                vertical(raised, starts, inside, wide, sums, channels)
                join_row(sums, width, channels, feature, (y - top) * length, up_k, joined, at)
            else:
                clear(joined, at, at + line)
        done = last + 1
        convolve_tiles(
            joined,
            places,
            first,
            last - first,
            width,
            2 * channels,
            weights,
            channels,
            values,
            products,
            columns,
            tiles,
            result,
        )
        for y in range(first, last):
            enlarged(image_below, size, y, shadow)
            i, f = (y - first) * length, (y - top) * length
            pixels, at = 3 * y * width, halves * y * length
            paint_row(result, i, width, channels, feature, f, k, rgb, bias, shadow, image, pixels, out, at, halves)
