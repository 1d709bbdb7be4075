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
from .amx_tiles import TILE, configure, pixels_32, pixels_64, release
from .numba_rows import activate_row, blur_row, clear, compiled, copy_row, enlarged, join_row, paint_row, vertical

shrink_room, grow_room = compiled(amx_room.shrink_room), compiled(amx_room.grow_room)


@compiled
def block_size(outputs):
    """Outputs and pixels of one product."""
    return (32, 32) if outputs % 32 == 0 else (16, 64)


@compiled
def product(x, residue, rows, depth, step, weights, at, out, to, out_step, outputs):
    if outputs % 32 == 0:
        pixels_32(x, residue, rows, depth, step, weights, at, out, to, out_step)
    else:
        pixels_64(x, residue, rows, depth, step, weights, at, out, to, out_step)


@compiled
def packed_size(rows, depth, outputs, residue):
    """Elements of the weights of one block of outputs."""
    tiles = rows * ((depth + 31) // 32) * (2 if outputs % 32 == 0 else 1)
    return tiles * TILE * (2 if residue > 0 else 1)


@compiled
def convolve_row(x, residue, rows, depth, step, weights, at, out, to, out_step, count, outputs):
    """`count` pixels; the last block may overlap the one before."""
    _, block = block_size(outputs)
    shifted = np.empty_like(rows)
    for pixel in range(0, count, block):
        pixel = min(pixel, count - block)
        for r in range(len(rows)):
            shifted[r] = rows[r] + pixel * step
        product(x, residue, shifted, depth, step, weights, at, out, to + pixel * out_step, out_step, outputs)


@compiled
def shrink(feature, shape, top, scale, weights, bias, out, outputs, halves, floats, group, exact, shapes, start, stop):
    """Rows of an encoder level: FIR filter, strided convolution, activation.

    `shape` (height, width, channels) is of the whole feature, of which `feature` holds the rows from `top` on.
    """
    height, width, inputs = shape
    line, ring, _ = shrink_room(width, inputs, outputs, group)
    residue = (ring * line + 32) if exact else 0
    clear(halves, 0, (ring * line + 32) * (2 if exact else 1))
    margin, length = 2 * inputs, width * inputs
    clear(floats, 0, length + 2 * margin)
    result = (width + 5) * inputs
    starts, inside, rows = np.zeros(4, np.int64), np.zeros(4, np.bool_), np.zeros(3, np.int64)
    block, _ = block_size(outputs)
    packed = packed_size(3, 3 * inputs, outputs, residue)
    size = width // 2
    blurred = 2 * start
    configure(shapes)
    for first in range(start, stop, group):
        last = min(first + group, stop)
        while blurred <= 2 * last:
            for tap in range(4):
                row = blurred - 2 + tap
                starts[tap], inside[tap] = (row - top) * length, 0 <= row < height
            vertical(feature, starts, inside, length, floats, margin)
            blur_row(floats, 0, length + inputs, inputs, scale, halves, blurred % ring * line, residue)
            blurred += 1
        for n in range(0, outputs, block):
            for y in range(first, last):
                for r in range(3):
                    rows[r] = (2 * y + r) % ring * line
                to = result + (y - first) * size * outputs + n
                at = n // block * packed
                convolve_row(
                    halves, residue, rows, 3 * inputs, 2 * inputs, weights, at, floats, to, outputs, size, outputs
                )
        span = size * outputs
        for y in range(first, last):
            activate_row(floats, result + (y - first) * span, span, bias, outputs, out, y * span)
    release()


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
            packed = packed_size(taps, depth, outputs, residue)
            for n in range(0, outputs, block):
                for p in range(pairs[0], pairs[1]):
                    if odd_row and p == size:
                        continue
                    for r in range(taps):
                        rows[r] = (p - 1 + r + odd_row) % ring * line + odd * inputs
                    to = (2 * p + odd_row) % out_ring * wide + odd * outputs + n
                    count = size + 1 - odd
                    convolve_row(
                        halves, residue, rows[:taps], depth, inputs, weights, at, out, to, 2 * outputs, count, outputs
                    )
                at += packed


@compiled
def grow(
    below,
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
    """Rows of a decoder level; `feature` holds the rows from `top` on, `out` may be empty.

    `below` is (width / 2, width / 2, inputs), `image_below` its image.
    """
    size = width // 2
    below_line, line, _ = grow_room(width, channels, inputs, group)
    below_ring, ring, raised_ring = group // 2 + 1, group + 2, group + 4
    first_ring = below_ring * below_line * (2 if exact else 1)
    below_residue, residue = (below_ring * below_line, ring * line) if exact else (0, 0)
    joined = halves[first_ring:]
    clear(halves, 0, first_ring)
    clear(joined, 0, ring * line * (2 if exact else 1))
    wide = (width + 1) * channels
    sums = raised_ring * wide
    result = sums + wide + 2 * channels
    clear(floats, sums, result)
    starts, inside, rows = np.zeros(4, np.int64), np.zeros(4, np.bool_), np.zeros(3, np.int64)
    shadow = np.zeros(3 * (size + 2), np.float32)
    pairs = np.zeros(2, np.int64)
    block, _ = block_size(channels)
    packed = packed_size(3, 6 * channels, channels, residue)
    done = start - 1  # the next row to be joined
    pair = max(start - 2, 0) // 2  # the next two rows to be raised
    split = max(pair - 1, 0)  # the next row of the level below
    configure(shapes)
    for y0 in range(start, stop, group):
        y1 = min(y0 + group, stop)
        while done <= y1:
            at = done % ring * line
            if done < 0 or done >= width:
                clear(joined, at, at + line)
                if residue > 0:
                    clear(joined, at + residue, at + residue + line)
                done += 1
                continue
            while 2 * pair <= min(done + 2, width):
                pairs[0], pairs[1] = pair, min(pair + group // 2, size + 1)
                while split < pairs[1]:
                    place = split % below_ring * below_line + inputs
                    if split < size:
                        copy_row(below, split * size * inputs, size * inputs, halves, place, below_residue)
                    else:
                        clear(halves, place, place + size * inputs)
                        if below_residue > 0:
                            clear(halves, place + below_residue, place + below_residue + size * inputs)
                    split += 1
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
                pair = pairs[1]
            for tap in range(4):
                row = done - 1 + tap
                starts[tap], inside[tap] = row % raised_ring * wide, 0 <= row <= width
            vertical(floats, starts, inside, wide, floats, sums + channels)
            f = (done - top) * width * channels
            join_row(floats, sums, width, channels, feature, f, up_k, joined, at + 2 * channels, residue)
            done += 1
        for n in range(0, channels, block):
            for y in range(y0, y1):
                for r in range(3):
                    rows[r] = (y - 1 + r) % ring * line
                to = result + (y - y0) * width * channels + n
                convolve_row(
                    joined,
                    residue,
                    rows,
                    6 * channels,
                    2 * channels,
                    weights,
                    n // block * packed,
                    floats,
                    to,
                    channels,
                    width,
                    channels,
                )
        for y in range(y0, y1):
            enlarged(image_below, size, y, shadow)
            i, f = result + (y - y0) * width * channels, (y - top) * width * channels
            o = 2 * y * width * channels
            paint_row(floats, i, width, channels, feature, f, k, rgb, bias, shadow, image, 3 * y * width, out, o)
    release()
