"""Cubic B-splines at the positions of a similarity, as compiled loops. Imported on first use only, as numba is.

Samples have up to four channels and lie padded to four, so that a row of the 4 x 4 that each pixel needs is
sixteen lanes. `limits` are the least and the greatest value to come out; `matrix` (2, 3) float64 leads from output
pixels to samples. Positions must lie among the samples; those a rounding error outside are read at the edge.
"""

# pyright: basic, reportCallIssue=false
# (what numba compiles is typed when it is called, and gives an intrinsic one argument more)
from __future__ import annotations

import numpy as np

from .compiling import compiled
from .numba_lanes import add, load, multiply, splat, store, within
from .numba_pixels import load_fourths, load_quarters, store_pixels, store_quarters

ONE, HALF = np.float32(1), np.float32(0.5)
GAIN, POLE = np.float32(6), np.float32(np.sqrt(3) - 2)  # of the cubic B-spline's inverse filter
FIRST, LAST = GAIN / (ONE - POLE), POLE / (POLE - ONE)  # what the recursions start with at an end
SIXTH, TWO_THIRDS = np.float32(1 / 6), np.float32(2 / 3)
PIXEL = 4  # floats
LANES = 16
REACH = 12  # samples beyond which an end of the inverse filter is not felt: |POLE|^12 < 2e-7


@compiled
def locate(matrix, row, left, shape, at, u, v):
    """Of the output pixels of `row` from `left` on: where their first tap lies, and their place between samples."""
    height, width = shape
    x_start, y_start = matrix[0, 1] * row + matrix[0, 2], matrix[1, 1] * row + matrix[1, 2]
    x_step, y_step = matrix[0, 0], matrix[1, 0]
    for n in range(len(at)):
        x, y = x_step * (left + n) + x_start, y_step * (left + n) + y_start
        i, j = min(max(int(np.floor(x)), 1), width - 3), min(max(int(np.floor(y)), 1), height - 3)
        at[n] = ((j - 1) * width + i - 1) * PIXEL
        u[n], v[n] = np.float32(x - i), np.float32(y - j)


@compiled
def weigh(t, weights):
    """The cubic B-spline's four weights at each t in [0, 1] after the second sample."""
    for n in range(len(t)):
        rest = ONE - t[n]
        first, last = rest * rest * rest * SIXTH, t[n] * t[n] * t[n] * SIXTH
        second = TWO_THIRDS - t[n] * t[n] * (ONE - HALF * t[n])
        weights[4 * n], weights[4 * n + 1] = first, second
        weights[4 * n + 2], weights[4 * n + 3] = ONE - first - second - last, last


@compiled
def read_row(grid, line, at, x_weights, y_weights, pixels):
    """`pixels`, four floats each, from the flat `grid` with rows of `line` floats."""
    for n in range(len(at)):
        i = at[n]
        upper = add(multiply(splat(y_weights[4 * n]), load(grid, i)),
                    multiply(splat(y_weights[4 * n + 1]), load(grid, i + line)))  # fmt: skip
        lower = add(multiply(splat(y_weights[4 * n + 2]), load(grid, i + 2 * line)),
                    multiply(splat(y_weights[4 * n + 3]), load(grid, i + 3 * line)))  # fmt: skip
        store_quarters(pixels, 4 * n, multiply(load_quarters(x_weights, 4 * n), add(upper, lower)))


@compiled
def separate(pixels, channel, limits, out):
    """One channel of `pixels`, within `limits`. Behind the last pixel there is room for one more."""
    low, high = limits
    lows, highs = splat(low), splat(high)
    for n in range(0, len(out) - LANES + 1, LANES):
        store(out, n, within(load_fourths(pixels, PIXEL * n + channel), lows, highs))
    for n in range(len(out) // LANES * LANES, len(out)):
        value = pixels[PIXEL * n + channel]
        value = low if value < low else value
        out[n] = high if value > high else value


@compiled
def read_window(grid, shape, matrix, limits, out, window):
    """Rows top to bottom, columns left to right of `out` (C, h, w) from the flat `grid` of `shape` (H, W)."""
    top, bottom, left, right = window
    count = right - left
    at, u, v = np.empty(count, np.int64), np.empty(count, np.float32), np.empty(count, np.float32)
    x_weights, y_weights = np.empty(4 * count, np.float32), np.empty(4 * count, np.float32)
    pixels = np.empty(PIXEL * (count + 1), np.float32)
    for row in range(top, bottom):
        locate(matrix, row, left, shape, at, u, v)
        weigh(u, x_weights)
        weigh(v, y_weights)
        read_row(grid, shape[1] * PIXEL, at, x_weights, y_weights, pixels)
        for channel in range(out.shape[0]):
            separate(pixels, channel, limits, out[channel, row, left:right])


@compiled
def mirrored(n, length):
    """Sample n of an axis continued by reflection about the outer edges of its ends."""
    folded = n % (2 * length)
    return min(folded, 2 * length - 1 - folded)


@compiled
def copy_lines(image, x0, y0, width, height, lines):
    """Into the flat `lines`, of three channels after each other: `height` rows of `width` samples from (x0, y0) on."""
    for n in range(height):
        row = mirrored(y0 + n, image.shape[1])
        for c in range(len(image)):
            at = (n * len(image) + c) * width
            line, source = lines[at : at + width], image[c, row]
            if x0 >= 0 and x0 + width <= len(source):
                part = source[x0 : x0 + width]
                for i in range(width):  # numba copies slices element by element, in case they overlap
                    line[i] = part[i]
            else:
                for i in range(width):
                    line[i] = source[mirrored(x0 + i, len(source))]


@compiled
def transpose(lines, channels, height, width, grid):
    """`lines` as the flat `grid` of pixels, column after column. Missing channels become copies of the last one."""
    step, last = height * PIXEL, channels - 1
    for n in range(height):
        at = n * channels * width
        second, third, fourth = at + min(1, last) * width, at + min(2, last) * width, at + last * width
        for i in range(0, width - LANES + 1, LANES):
            a, b, c, d = load(lines, at + i), load(lines, second + i), load(lines, third + i), load(lines, fourth + i)
            store_pixels(grid, i * step + n * PIXEL, step, a, b, c, d)
        for i in range(width // LANES * LANES, width):
            for c in range(PIXEL):
                grid[i * step + n * PIXEL + c] = lines[at + min(c, last) * width + i]


@compiled
def coefficients(lines, length):
    """In place: those of the B-spline through the samples along an axis, each `length` floats after the one before.

    A recursion forth and one back (Unser, "Splines: a perfect fit", 1999). Errors at the ends fade by POLE a sample.
    """
    count = len(lines) // length
    for i in range(length):
        lines[i] *= FIRST
    for n in range(1, count):
        before, line = lines[(n - 1) * length : n * length], lines[n * length : (n + 1) * length]
        for i in range(length):
            line[i] = GAIN * line[i] + POLE * before[i]
    end = lines[(count - 1) * length : count * length]
    for i in range(length):
        end[i] *= LAST
    for n in range(count - 2, -1, -1):
        line, after = lines[n * length : (n + 1) * length], lines[(n + 1) * length : (n + 2) * length]
        for i in range(length):
            line[i] = POLE * (after[i] - line[i])


@compiled
def span(axis, window):
    """The samples along one axis, a row of the matrix, that the window's pixels need: the first, and how many."""
    top, bottom, left, right = window
    x, y, start = axis
    low = min(x * left, x * (right - 1)) + min(y * top, y * (bottom - 1)) + start
    high = max(x * left, x * (right - 1)) + max(y * top, y * (bottom - 1)) + start
    first = int(np.floor(low)) - 1 - REACH
    return first, int(np.floor(high)) + 3 + REACH - first


@compiled
def longest(axis, tile):
    """The most that `span` gives for a tile of so many rows and columns."""
    return int(np.ceil(abs(axis[0]) * tile[1] + abs(axis[1]) * tile[0])) + 5 + 2 * REACH


@compiled
def warp_tiles(image, matrix, limits, tile, out, start, stop):
    """Tiles `start` to `stop` of `out` (C, h, w), `tile` (rows, columns) large, from `image` (C, H, W).

    What lies between the steps of a tile stays in the processor's cache.
    """
    channels, across = len(image), (out.shape[2] + tile[1] - 1) // tile[1]
    swapped = np.empty_like(matrix)
    size = longest(matrix[0], tile) * longest(matrix[1], tile)
    all_lines, all_pixels = np.empty(size * channels, np.float32), np.empty(size * PIXEL, np.float32)
    for number in range(start, stop):
        top, left = number // across * tile[0], number % across * tile[1]
        window = (top, min(top + tile[0], out.shape[1]), left, min(left + tile[1], out.shape[2]))
        (x0, width), (y0, height) = span(matrix[0], window), span(matrix[1], window)
        lines, grid = all_lines[: height * width * channels], all_pixels[: height * width * PIXEL]
        copy_lines(image, x0, y0, width, height, lines)
        coefficients(lines, width * channels)
        transpose(lines, channels, height, width, grid)
        coefficients(grid, height * PIXEL)
        swapped[0], swapped[1] = matrix[1], matrix[0]
        swapped[0, 2] -= y0
        swapped[1, 2] -= x0
        read_window(grid, (width, height), swapped, limits, out, window)
