"""Reading a grid at the positions of a similarity, as compiled loops over rows. Imported on first use only: numba is.

`grid` is flat, C-ordered (H, W, C) float32, and `shape` says so; `matrix` (2, 3) float64 leads from output pixels to
grid samples; a kernel does rows `start` to `stop` of `out` (C, h, w), without the interpreter's lock. Positions must
lie in the grid; those a rounding error outside are read at its edge.
"""

# pyright: basic
# (what numba compiles is typed when it is called)
from __future__ import annotations

import numpy as np

from .numba_kernels import compiled

ONE, HALF = np.float32(1), np.float32(0.5)
SIXTH, TWO_THIRDS = np.float32(1 / 6), np.float32(2 / 3)


@compiled
def locate(matrix, row, shape, before, after, at, u, v):
    """Of each output pixel of `row`: where in the flat grid its first tap lies, and its place between two samples.

    It touches `before` samples before the one at or left of its position, and `after` behind.
    """
    height, width, channels = shape
    x_start, y_start = matrix[0, 1] * row + matrix[0, 2], matrix[1, 1] * row + matrix[1, 2]
    x_step, y_step = matrix[0, 0], matrix[1, 0]
    for column in range(len(at)):
        x, y = x_step * column + x_start, y_step * column + y_start
        i = min(max(int(np.floor(x)), before), width - 1 - after)
        j = min(max(int(np.floor(y)), before), height - 1 - after)
        at[column] = ((j - before) * width + i - before) * channels
        u[column], v[column] = np.float32(x - i), np.float32(y - j)


@compiled
def read_linear(grid, shape, matrix, out, start, stop):
    # Unsigned, since numba looks whether a signed index counts from the end.
    line, pixel = np.uintp(shape[1] * shape[2]), np.uintp(shape[2])
    columns = out.shape[2]
    at, u, v = np.empty(columns, np.uintp), np.empty(columns, np.float32), np.empty(columns, np.float32)
    for row in range(start, stop):
        locate(matrix, row, shape, 0, 1, at, u, v)
        for column in range(columns):
            for channel in range(out.shape[0]):
                i = at[column] + np.uintp(channel)
                j = i + line
                upper = grid[i] + u[column] * (grid[i + pixel] - grid[i])
                lower = grid[j] + u[column] * (grid[j + pixel] - grid[j])
                out[channel, row, column] = upper + v[column] * (lower - upper)


@compiled
def weigh(t, weights):
    """The cubic B-spline's four weights at each t in [0, 1] after the second sample."""
    for n in range(len(t)):
        rest = ONE - t[n]
        first, last = rest * rest * rest * SIXTH, t[n] * t[n] * t[n] * SIXTH
        second = TWO_THIRDS - t[n] * t[n] * (ONE - HALF * t[n])
        weights[n, 0], weights[n, 1] = first, second
        weights[n, 2], weights[n, 3] = ONE - first - second - last, last


@compiled
def read_spline(grid, shape, matrix, out, start, stop):
    line, second = np.uintp(shape[1] * shape[2]), np.uintp(shape[2])
    third, fourth = second + second, second + second + second
    columns = out.shape[2]
    at, u, v = np.empty(columns, np.uintp), np.empty(columns, np.float32), np.empty(columns, np.float32)
    x_weights, y_weights = np.empty((columns, 4), np.float32), np.empty((columns, 4), np.float32)
    for row in range(start, stop):
        locate(matrix, row, shape, 1, 2, at, u, v)
        weigh(u, x_weights)
        weigh(v, y_weights)
        for column in range(columns):
            a, b = x_weights[column, 0], x_weights[column, 1]
            c, d = x_weights[column, 2], x_weights[column, 3]
            for channel in range(out.shape[0]):
                i = at[column] + np.uintp(channel)
                total = np.float32(0)
                for tap in range(4):
                    along = a * grid[i] + b * grid[i + second] + c * grid[i + third] + d * grid[i + fourth]
                    total += y_weights[column, tap] * along
                    i += line
                out[channel, row, column] = total
