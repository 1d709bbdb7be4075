"""The passes of `folded/passes.py` as compiled loops over rows. Imported on first use only, since numba is.

Arrays hold one image as `numba_rows` describes. A kernel does rows `start` to `stop` of its output, without the
interpreter's lock.
"""

# pyright: basic, reportCallIssue=false
# (what numba compiles is typed when it is called, and gives an intrinsic one argument more)
from __future__ import annotations

import numpy as np

from .compiling import compiled
from .numba_rows import activate_row, blur_row, colour_row, enlarged, four_rows, join_row, paint_row, vertical


@compiled
def activate(x, length, bias, channels, out, start, stop):
    """Rows of `length` elements."""
    for y in range(start, stop):
        activate_row(x, y * length, length, bias, channels, out, y * length)


@compiled
def colour(layer, width, channels, out, start, stop):
    """The first encoder layer; `layer` is `numba_passes.layer_of` the image."""
    for y in range(start, stop):
        colour_row(layer, y, width, channels, out, y * width * channels)


@compiled
def blur(x, shape, top, scale, out, start, stop):
    """`shape` is (height, width, channels) of x; the output is one column wider."""
    height, width, channels = shape
    length = width * channels
    wide = length + channels
    sums = np.zeros(length + 4 * channels, np.float32)
    starts, inside = np.zeros(4, np.int64), np.zeros(4, np.bool_)
    for y in range(start, stop):
        four_rows(top + y, height, height, length, starts, inside)
        vertical(x, starts, inside, length, sums, 2 * channels)
        blur_row(sums, 0, wide, channels, scale, out, y * wide, 0)


@compiled
def join(x, shape, top, feature, k, out, start, stop):
    """`shape` is (height, width, channels) of x; the output is one column narrower and has both halves."""
    height, wide, channels = shape
    width = wide - 1
    length = wide * channels
    sums = np.zeros(length + 2 * channels, np.float32)
    starts, inside = np.zeros(4, np.int64), np.zeros(4, np.bool_)
    for y in range(start, stop):
        four_rows(top + y, height, height, length, starts, inside)
        vertical(x, starts, inside, length, sums, channels)
        join_row(sums, 0, width, channels, feature, y * width * channels, k, out, 2 * y * width * channels, 0)


@compiled
def paint(x, channels, width, feature, k, rgb, bias, below, row, image, out, start, stop):
    """`below` and `out` may be empty; `row` is that of the whole image at which `image` starts."""
    line = np.zeros(3 * (width // 2 + 2), np.float32)
    halves = 2 if out.size else 0
    for y in range(start, stop):
        if below.size:
            enlarged(below, width // 2, row + y, line)
        i = y * width * channels
        paint_row(x, i, width, channels, feature, i, k, rgb, bias, line, image, 3 * y * width, out, 2 * i, halves)
