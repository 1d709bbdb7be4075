"""The canvas's arithmetic as compiled loops over rows. Imported on first use only, as numba is.

Rows `start` to `stop` are done, without the interpreter's lock. `place` holds (a, b, c): the pixel in column x of row y
lies at a x + b y + c of the crop, along each of its axes, 0 and 1 being its outer edges. Images are flat float32 arrays
with the number of elements from plane to plane, and from row to row.
"""

# pyright: basic
# (what numba compiles is typed when it is called)
from __future__ import annotations

import numpy as np

from .compiling import compiled

ZERO, HALF, ONE, TWO, THREE = (np.float32(value) for value in (0, 0.5, 1, 2, 3))
LEAST = np.float32(1e-3)
TINY = np.float32(np.finfo(np.float32).tiny)
# Taylor series of cos(pi t) in t²: within 2e-7 of it for |t| <= 1/2.
C1, C2, C3, C4, C5, C6 = (
    np.float32((-1) ** n * np.pi ** (2 * n) / np.prod(np.arange(1.0, 2 * n + 1))) for n in range(1, 7)
)


@compiled
def line(image, plane, row, columns):
    array, planes, rows = image
    start = plane * planes + row * rows
    return array[start : start + columns]


@compiled
def locate(place, row, position):
    start = place[1] * row + place[2]
    for n in range(len(position)):
        position[n] = np.float32(place[0] * n + start)


@compiled
def ramp(position, inset, feather, out):
    for n in range(len(out)):
        t = (HALF - abs(position[n] - HALF) - inset) / feather
        t = ZERO if t < ZERO else ONE if t > ONE else t
        out[n] *= t * t * (THREE - TWO * t)


@compiled
def box(places, inset, feather, out, start, stop):
    """`out` (h, w): the soft box."""
    position = np.empty(out.shape[1], np.float32)
    for row in range(start, stop):
        out[row, :] = ONE
        for axis in range(2):
            locate(places[axis], row, position)
            ramp(position, inset, feather, out[row])


@compiled
def middling(position, out):
    """`out` times the sine of pi times each position in [0, 1]; 0 beyond."""
    for n in range(len(out)):
        t = position[n] - HALF
        t = -HALF if t < -HALF else HALF if t > HALF else t
        s = t * t
        out[n] *= ONE + s * (C1 + s * (C2 + s * (C3 + s * (C4 + s * (C5 + s * C6)))))


@compiled
def weigh(mask, out):
    for n in range(len(out)):
        square = out[n] * out[n]
        square = LEAST * LEAST if out[n] < LEAST else square
        out[n] = square * square * mask[n]


@compiled
def lay(columns, places, strength, restored, background, mask, change, weight, shown, start, stop):
    """Adds to `change` (3, h, w), `weight` and `shown` (h, w), as Canvas describes them."""
    position, share = np.empty(columns, np.float32), np.empty(columns, np.float32)
    for row in range(start, stop):
        seen = line(mask, 0, row, columns)
        share[:] = ONE
        for axis in range(2):
            locate(places[axis], row, position)
            middling(position, share)
        weigh(seen, share)
        add_row(share, line(weight, 0, row, columns))
        raise_row(seen, line(shown, 0, row, columns))
        for n in range(columns):
            share[n] *= strength
        for c in range(3):
            old, new = line(background, c, row, columns), line(restored, c, row, columns)
            add_change(share, new, old, line(change, c, row, columns))


@compiled
def show(columns, strength, restored, mask, shown, picture, start, stop):
    """`picture` (3, h, w) with a lone face; `shown` (h, w) becomes its mask."""
    share = np.empty(columns, np.float32)
    for row in range(start, stop):
        seen, out = line(mask, 0, row, columns), line(shown, 0, row, columns)
        for n in range(columns):
            out[n] = seen[n]
            share[n] = strength * seen[n]
        for c in range(3):
            mix(line(restored, c, row, columns), share, line(picture, c, row, columns))


@compiled
def mix(new, share, out):
    for n in range(len(out)):
        value = out[n] + share[n] * (new[n] - out[n])
        value = ZERO if value < ZERO else ONE if value > ONE else value
        out[n] = value if share[n] > ZERO else out[n]


@compiled
def add_row(value, out):
    for n in range(len(out)):
        out[n] += value[n]


@compiled
def raise_row(value, out):
    for n in range(len(out)):
        out[n] = value[n] if value[n] > out[n] else out[n]


@compiled
def add_change(share, restored, background, out):
    for n in range(len(out)):
        out[n] += share[n] * (restored[n] - background[n])


@compiled
def blend(columns, change, weight, shown, picture, start, stop):
    """`picture` (3, h, w) with what was laid onto it; its own bits where nothing is `shown`."""
    share = np.empty(columns, np.float32)
    for row in range(start, stop):
        seen = line(shown, 0, row, columns)
        divide(seen, line(weight, 0, row, columns), share)
        for c in range(3):
            blend_row(line(change, c, row, columns), share, seen, line(picture, c, row, columns))


@compiled
def divide(value, divisor, out):
    for n in range(len(out)):
        out[n] = value[n] / (divisor[n] if divisor[n] > TINY else TINY)


@compiled
def blend_row(change, share, shown, out):
    for n in range(len(out)):
        value = out[n] + share[n] * change[n]
        value = ZERO if value < ZERO else ONE if value > ONE else value
        out[n] = value if shown[n] > ZERO else out[n]
