"""Reading a grid at the positions of a similarity, as compiled loops over rows. Imported on first use only: numba is.

`grid` is flat, C-ordered (H, W, C) float32, and `shape` says so; `matrix` (2, 3) float64 leads from output pixels to
grid samples; a kernel does rows `start` to `stop` of `out` (C, h, w), without the interpreter's lock. Positions must
lie in the grid; those a rounding error outside are read at its edge.
"""

# pyright: basic
# (what numba compiles is typed when it is called)
from __future__ import annotations

import numpy as np

from .compiling import compiled

ONE, HALF = np.float32(1), np.float32(0.5)
GAIN, POLE = np.float32(6), np.float32(np.sqrt(3) - 2)  # of the cubic B-spline's inverse filter
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


@compiled
def prefilter_rows(x, rows, columns, out, start, stop):
    """`out` (h, w, C): the samples of `x` (H, W, C) at `rows` and `columns`, as B-spline coefficients along each row.

    A recursion forth and one back (Unser, "Splines: a perfect fit", 1999). Errors at the ends fade by POLE a sample.
    """
    channels, last = x.shape[2], len(columns) - 1
    for row in range(start, stop):
        source, line = x[rows[row]], out[row]
        for c in range(channels):
            line[0, c] = GAIN / (ONE - POLE) * source[columns[0], c]
        for i in range(1, last + 1):
            j = columns[i]
            for c in range(channels):
                line[i, c] = GAIN * source[j, c] + POLE * line[i - 1, c]
        for c in range(channels):
            line[last, c] *= POLE / (POLE - ONE)
        for i in range(last - 1, -1, -1):
            for c in range(channels):
                line[i, c] = POLE * (line[i + 1, c] - line[i, c])


@compiled
def prefilter_columns(grid, start, stop):
    """The same in place along the columns `start` to `stop` of `grid` (h, w C)."""
    last = grid.shape[0] - 1
    for i in range(start, stop):
        grid[0, i] *= GAIN / (ONE - POLE)
    for row in range(1, last + 1):
        for i in range(start, stop):
            grid[row, i] = GAIN * grid[row, i] + POLE * grid[row - 1, i]
    for i in range(start, stop):
        grid[last, i] *= POLE / (POLE - ONE)
    for row in range(last - 1, -1, -1):
        for i in range(start, stop):
            grid[row, i] = POLE * (grid[row + 1, i] - grid[row, i])


@compiled
def halve(x, shape, block, out, squares, start, stop):
    """Rows of `out` (P, h, w N) from flat `x` (P, H, W, N), and the detail of those of x in `squares` (h, blocks).

    `shape` is (planes P, H, W, interleaved channels N). An odd last row or column counts twice.
    """
    planes, height, width, channels = shape
    quarter = np.float32(0.25)
    columns, length = (width + 1) // 2, width * channels
    line = np.empty(columns * channels, np.float32)
    for row in range(start, stop):
        line[:] = np.float32(0)
        for plane in range(planes):
            at = (plane * height + 2 * row) * length
            b = at if 2 * row + 1 == height else at + length
            z = b if row == 0 else at - length
            middle, above, below = x[at : at + length], x[z : z + length], x[b : b + length]
            target = out[plane, row]
            for i in range(columns):
                j = 2 * i * channels
                right = j if 2 * i + 1 == width else j + channels
                left = right if i == 0 else j - channels
                for c in range(channels):
                    here, beside, under = middle[j + c], middle[right + c], below[j + c]
                    target[i * channels + c] = quarter * ((here + beside) + (under + below[right + c]))
                    along = HALF * (middle[left + c] + beside) - here
                    across = HALF * (above[j + c] + under) - here
                    line[i * channels + c] += along * along + across * across
        for i in range(squares.shape[1]):
            part = line[i * block * channels : min((i + 1) * block, columns) * channels]
            total = np.float32(0)
            for c in range(len(part)):
                total += part[c]
            squares[row, i] = quarter * total / np.float32(len(part) * planes)
