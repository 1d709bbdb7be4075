"""What is done to one row of pixels between two convolutions, as in `numba_rows`, but into rows of chunks.

A row of chunks holds 16 channels of all pixels, then the next 16: neighbours are 16 elements apart, whatever the number
of channels.
"""

# pyright: basic, reportCallIssue=false
# (what numba compiles is typed when it is called, and gives an intrinsic one argument more)
from __future__ import annotations

from ..compiled.compiling import compiled
from ..compiled.numba_lanes import add, leaky, load, multiply, splat, store
from ..compiled.numba_rows import horizontal, second_half


@compiled
def split_row(x, feature, k, row, width, inputs, out, at):
    """A row of a level's output into chunks; a pixel is left out before it and seven after it.

    `x` holds all `inputs` channels, or the first half; the second is then made of `feature` and the constants `k`.
    """
    step, half = (width + 8) * 16, inputs // 2
    stored = half if feature.size else inputs
    for pixel in range(width):
        i, to = row * width + pixel, at + 16 * (pixel + 1)
        for c in range(0, stored, 16):
            store(out, to + c // 16 * step, load(x, i * stored + c))
        for c in range(stored, inputs, 16):
            store(out, to + c // 16 * step, second_half(feature, i * half, k, half, c - stored))


@compiled
def blur_row(sums, width, channels, scale, out, at):
    """As `numba_rows.blur_row`: `width` pixels, into chunks of one pixel more."""
    factor, step = splat(scale), (width + 1) * 16
    for pixel in range(width):
        for c in range(0, channels, 16):
            value = multiply(factor, horizontal(sums, pixel * channels + c, channels))
            store(out, at + c // 16 * step + 16 * pixel, value)


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
