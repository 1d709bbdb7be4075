"""Winograd's convolution of rows of tiles, sixteen channels at a time.

Tiles are 4 pixels wide and high and see 6. In between, values lie point by point, chunk of 16 channels by chunk, and
then tile by tile, as `lane_products` wants its pixels.
"""

# pyright: basic, reportCallIssue=false
# (what numba compiles is typed when it is called, and gives an intrinsic one argument more)
from __future__ import annotations

import numpy as np

from . import lane_room
from .compiling import compiled
from .lane_products import product
from .lane_room import SEGMENT
from .numba_lanes import add, load, multiply, splat, store, subtract
from .winograd import FAR, NEAR, POINTS, TILE

SQUARE = POINTS * POINTS
A, B = np.float32(NEAR), np.float32(FAR)
A2, B2, A3, B3 = np.float32(0.5), np.float32(2), np.float32(NEAR**3), np.float32(FAR**3)
SUM = np.float32(2.5)  # of the squares; their product is 1
apart = compiled(lane_room.apart)


@compiled
def evaluate(d0, d1, d2, d3, d4, d5, out, at, step):
    """Six samples, the coefficients of a polynomial, to its values at six points, which are stored `step` apart."""
    minus = splat(-SUM)
    store(out, at, add(add(d0, d4), multiply(minus, d2)))
    even, odd = add(d4, multiply(splat(-B2), d2)), multiply(splat(A), add(d3, multiply(splat(-B2), d1)))
    store(out, at + step, add(even, odd))
    store(out, at + 2 * step, subtract(even, odd))
    even, odd = add(d4, multiply(splat(-A2), d2)), multiply(splat(B), add(d3, multiply(splat(-A2), d1)))
    store(out, at + 3 * step, add(even, odd))
    store(out, at + 4 * step, subtract(even, odd))
    store(out, at + 5 * step, add(add(d1, d5), multiply(minus, d3)))


@compiled
def evaluate_down(x, rows, i, out, at, step):
    """The samples are element `i` of each of six rows."""
    d0, d1, d2 = load(x, rows[0] + i), load(x, rows[1] + i), load(x, rows[2] + i)
    d3, d4, d5 = load(x, rows[3] + i), load(x, rows[4] + i), load(x, rows[5] + i)
    evaluate(d0, d1, d2, d3, d4, d5, out, at, step)


@compiled
def evaluate_along(x, i, out, at, step):
    """The samples are six neighbours."""
    d0, d1, d2 = load(x, i), load(x, i + 16), load(x, i + 32)
    d3, d4, d5 = load(x, i + 48), load(x, i + 64), load(x, i + 80)
    evaluate(d0, d1, d2, d3, d4, d5, out, at, step)


@compiled
def interpolate(x, i, step, out, at, out_step):
    """The values at six points to four samples."""
    m0, m1, m2 = load(x, i), load(x, i + step), load(x, i + 2 * step)
    m3, m4, m5 = load(x, i + 3 * step), load(x, i + 4 * step), load(x, i + 5 * step)
    near, far, near_odd, far_odd = add(m1, m2), add(m3, m4), subtract(m1, m2), subtract(m3, m4)
    store(out, at, add(m0, add(near, far)))
    store(out, at + out_step, add(multiply(splat(A), near_odd), multiply(splat(B), far_odd)))
    store(out, at + 2 * out_step, add(multiply(splat(A2), near), multiply(splat(B2), far)))
    last = add(multiply(splat(A3), near_odd), add(multiply(splat(B3), far_odd), m5))
    store(out, at + 3 * out_step, last)


@compiled
def evaluate_tiles(x, rows, step, chunks, column, count, columns, values, tile, tiles):
    """`count` tiles from pixel `column` on, of six rows that begin at `rows`, as tiles `tile` and on of `tiles`."""
    point = apart(16 * chunks, tiles)
    for c in range(chunks):
        for n in range(0, count, SEGMENT):
            width = TILE * min(SEGMENT, count - n) + 2
            first = c * step + (column + TILE * n) * 16
            for w in range(width):
                evaluate_down(x, rows, first + 16 * w, columns, 16 * w, 16 * width)
            for t in range(min(SEGMENT, count - n)):
                for y in range(POINTS):
                    at = y * POINTS * point + (c * tiles + tile + n + t) * 16
                    evaluate_along(columns, 16 * (y * width + TILE * t), values, at, point)


@compiled
def multiply_tiles(values, inputs, weights, outputs, tiles, start, products):
    """At every pair of points: all tiles, a multiple of 16, times the weights of all outputs."""
    chunks = inputs // 16
    for point in range(SQUARE):
        for o in range(0, outputs, 16):
            at = (point * outputs + o) * inputs
            to = point * apart(outputs, tiles) + o * tiles
            for t in range(0, tiles, 16):
                start[0] = point * apart(inputs, tiles) + 16 * t
                product(values, 0, start, 1, tiles * 16, chunks, weights, at, products, to + 16 * t, 16)


@compiled
def interpolate_tiles(products, outputs, tile, tiles, count, columns, out, to, width):
    """Tiles `tile` and on, `count` of `tiles`, as pixels from `to` on in an image `width` pixels wide."""
    point = apart(outputs, tiles)
    for o in range(0, outputs, 16):
        for t in range(count):
            first = o * tiles + 16 * (tile + t)
            for x in range(POINTS):
                interpolate(products, x * point + first, POINTS * point, columns, 16 * x, 16 * POINTS)
            for y in range(TILE):
                at = to + (y * width + TILE * t) * outputs + o
                interpolate(columns, 16 * POINTS * y, 16, out, at, outputs)


@compiled
def convolve_tiles(ring, places, first, rows, width, inputs, weights, outputs, values, products, columns, tiles, out):
    """Rows `first` to first + rows, whole tiles, of a convolution of the ring's rows from first - 1 on.

    The ring's rows are chunks of `width` + 2 pixels.
    """
    across, line, step = width // TILE, (width + 2) * inputs, (width + 2) * 16
    six, start = np.zeros(POINTS, np.int64), np.zeros(1, np.int64)
    total = rows // TILE * across
    for begin in range(0, total, tiles):
        count = min(tiles, total - begin)
        part = min(across, count)  # so many tiles of a row at once
        for tile in range(0, count, part):
            row, column = (begin + tile) // across, (begin + tile) % across
            for r in range(POINTS):
                six[r] = (first + TILE * row + r - 1) % places * line
            evaluate_tiles(ring, six, step, inputs // 16, TILE * column, part, columns, values, tile, count)
        multiply_tiles(values, inputs, weights, outputs, count, start, products)
        for tile in range(0, count, part):
            row, column = (begin + tile) // across, (begin + tile) % across
            to = TILE * (row * width + column) * outputs
            interpolate_tiles(products, outputs, tile, count, part, columns, out, to, width)
