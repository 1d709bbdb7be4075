"""What is done to one row of pixels between two convolutions, in compiled loops over sixteen channels at a time.

Arrays are flat and hold channels last: element (y, x, c) of (H, W, C) is at (y W + x) C + c; C is a multiple of 16.
They are float32, or uint16 with the bits of bfloat16; arithmetic is float32. `k` are six rows of C constants: gain,
bias, feature gain, feature bias, next modulation of either half.
"""

# pyright: basic, reportCallIssue=false
# (what numba compiles is typed when it is called, and gives an intrinsic one argument more)
from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import overload

from .compiling import compiled
from .numba_lanes import add, coarse, leaky, load, multiply, splat, store, subtract, total

THREE = np.float32(3)  # FIR taps are 1, 3, 3, 1; their common factor is in `scale` or folded into the gain
NEAR, FAR = np.float32(0.75), np.float32(0.25)  # bilinear weights of doubling an image


# Only a name: in compiled code the overload below stands in for it, and as Python it never runs.
def put(out, i, residue, value) -> None:
    """Stores 16 values; with `residue` > 0 also, that much further on, what rounding took from them."""


@overload(put)
def _put(out, i, residue, value):
    if isinstance(out.dtype, types.Float):
        return lambda out, i, residue, value: store(out, i, value)

    def split(out, i, residue, value):
        store(out, i, value)
        if residue > 0:
            store(out, i + residue, subtract(value, coarse(value)))

    return split


@compiled
def copy_row(x, start, length, out, at, residue):
    """`length` elements of x as they are."""
    for i in range(0, length, 16):
        put(out, at + i, residue, load(x, start + i))


@compiled
def second_half(feature, f, k, channels, c):
    """What `paint_row` would have stored in the second half of a pixel's channels from c on."""
    v = add(multiply(load(feature, f + c), load(k, 2 * channels + c)), load(k, 3 * channels + c))
    return multiply(leaky(v), load(k, 5 * channels + c))


@compiled
def clear(out, start, stop):
    for i in range(start, stop):
        out[i] = 0


@compiled
def activate_row(x, start, length, bias, channels, out, at):
    """Leaky ReLU of x + bias; x may be out."""
    for i in range(0, length, channels):
        for c in range(0, channels, 16):
            store(out, at + i + c, leaky(add(load(x, start + i + c), load(bias, c))))


@compiled
def colour_row(layer, row, width, channels, out, to):
    """The first encoder layer, of a row of an image: `layer` is `numba_passes.layer_of` it."""
    pixels, step, plane, weights = layer
    for column in range(width):
        at = (row * width + column) * step
        red, green, blue = splat(pixels[at]), splat(pixels[at + plane]), splat(pixels[at + 2 * plane])
        for c in range(0, channels, 16):
            v = add(load(weights, 3 * channels + c), multiply(red, load(weights, c)))
            v = add(v, multiply(green, load(weights, channels + c)))
            v = add(v, multiply(blue, load(weights, 2 * channels + c)))
            store(out, to + column * channels + c, leaky(v))


@compiled
def make_rows(layer, row, stop, width, channels, ring, places):
    """The first encoder layer's rows from `row` to `stop` in a ring; none if `layer` is empty, as they are there."""
    if layer[0].size:
        for y in range(row, stop):
            colour_row(layer, y, width, channels, ring, y % places * width * channels)
    return max(row, stop)


@compiled
def four_rows(first, height, places, length, starts, inside):
    """Where rows `first` to first + 3 of `height` lie in a ring of so many `places`, and whether there are any."""
    for tap in range(4):
        starts[tap] = (first + tap) % places * length
        inside[tap] = 0 <= first + tap < height


@compiled
def vertical(x, starts, inside, length, sums, at):
    """Four rows of `length` elements, from each of `starts` where that is `inside`, summed by the FIR taps."""
    a, b, c, d = starts[0], starts[1], starts[2], starts[3]
    three = splat(THREE)
    if inside[0] and inside[1] and inside[2] and inside[3]:
        for i in range(0, length, 16):
            outer = add(load(x, a + i), load(x, d + i))
            inner = add(load(x, b + i), load(x, c + i))
            store(sums, at + i, add(outer, multiply(three, inner)))
        return
    clear(sums, at, at + length)
    for tap in range(4):
        if inside[tap]:
            weight = three if tap == 1 or tap == 2 else splat(np.float32(1))
            for i in range(0, length, 16):
                v = multiply(weight, load(x, starts[tap] + i))
                store(sums, at + i, add(load(sums, at + i), v))


@compiled
def horizontal(sums, i, step):
    """The FIR taps over four pixels `step` apart."""
    outer = add(load(sums, i), load(sums, i + 3 * step))
    return add(outer, multiply(splat(THREE), add(load(sums, i + step), load(sums, i + 2 * step))))


@compiled
def blur_row(sums, first, length, channels, scale, out, at, residue):
    """`first` is where in `sums` the margin's two pixels begin."""
    factor = splat(scale)
    for i in range(0, length, 16):
        put(out, at + i, residue, multiply(factor, horizontal(sums, first + i, channels)))


@compiled
def join_row(sums, first, width, channels, feature, start, k, out, at, residue):
    """`first` is where in `sums` the margin's one pixel begins; the FIR factor is in the gain."""
    for pixel in range(width):
        i, f, o = first + pixel * channels, start + pixel * channels, at + 2 * pixel * channels
        for c in range(0, channels, 16):
            v = horizontal(sums, i + c, channels)
            v = leaky(add(multiply(v, load(k, c)), load(k, channels + c)))
            put(out, o + c, residue, multiply(v, load(k, 4 * channels + c)))
            put(out, o + channels + c, residue, second_half(feature, f, k, channels, c))


@compiled
def enlarged(below, size, y, line):
    """Row y of the doubled image into `line` before its columns are doubled; one zero pixel on either side."""
    near = y // 2
    far = near + 1 if y % 2 == 1 else near - 1
    for i in range(3 * size):
        line[3 + i] = NEAR * below[near * size * 3 + i]
    if 0 <= far < size:
        for i in range(3 * size):
            line[3 + i] += FAR * below[far * size * 3 + i]


@compiled
def paint_row(x, start, width, channels, feature, from_, k, rgb, bias, line, image, pixels, out, at, halves):
    """`line` is of `enlarged`; so many `halves` of the next convolution's input go into `out`: 0, 1 or 2."""
    for column in range(width):
        i, f, o = start + column * channels, from_ + column * channels, at + halves * column * channels
        red = green = blue = splat(np.float32(0))
        for c in range(0, channels, 16):
            v = leaky(add(multiply(load(x, i + c), load(k, c)), load(k, channels + c)))
            w = add(multiply(load(feature, f + c), load(k, 2 * channels + c)), load(k, 3 * channels + c))
            w = leaky(w)
            red = add(red, add(multiply(v, load(rgb, c)), multiply(w, load(rgb, channels + c))))
            c2 = 2 * channels + c
            green = add(green, add(multiply(v, load(rgb, c2)), multiply(w, load(rgb, channels + c2))))
            c4 = 4 * channels + c
            blue = add(blue, add(multiply(v, load(rgb, c4)), multiply(w, load(rgb, channels + c4))))
            if halves > 0:
                store(out, o + c, multiply(v, load(k, 4 * channels + c)))
            if halves > 1:
                store(out, o + channels + c, multiply(w, load(k, 5 * channels + c)))
        near = 3 * (column // 2 + 1)
        far = near + 3 if column % 2 == 1 else near - 3
        p = pixels + 3 * column
        image[p] = bias[0] + total(red) + NEAR * line[near] + FAR * line[far]
        image[p + 1] = bias[1] + total(green) + NEAR * line[near + 1] + FAR * line[far + 1]
        image[p + 2] = bias[2] + total(blue) + NEAR * line[near + 2] + FAR * line[far + 2]
