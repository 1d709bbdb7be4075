"""The passes of `passes.py` as compiled loops over rows. Imported on first use only, since numba is.

Arrays are flat, C-ordered and hold one image, channels last: element (y, x, c) of (H, W, C) is at (y W + x) C + c.
They are float32, or uint16 with the bits of bfloat16; arithmetic is float32. `k` are six rows of C constants: gain,
bias, feature gain, feature bias, next modulation of either half. A kernel does rows `start` to `stop` of its output,
without the interpreter's lock. Not-a-number must survive, so of the fast-math flags only the harmless ones are set.
"""

# pyright: basic
# (what numba compiles is typed when it is called)
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload

SAFE_MATH = {"contract", "reassoc", "nsz"}
SLOPE = np.float32(0.2)  # of the leaky ReLU
THREE = np.float32(3)  # FIR taps are 1, 3, 3, 1; their common factor is in `scale` or folded into the gain
HALF_ULP = np.uint32(0x7FFF)  # of bfloat16 in the bits of float32, for rounding to nearest even
SIXTEEN, ONE = np.uint32(16), np.uint32(1)
NEAR, FAR = np.float32(0.75), np.float32(0.25)  # bilinear weights of doubling an image


def compiled(function: Callable[..., None]) -> Any:
    """Compiled on first call; cached on disk where a folder can be written and the package bears its own name.

    A cache names the module it was made from, and one made under a host's name for the package (ComfyUI's is the
    folder's path) is an error under any other.
    """
    options = {"nogil": True, "fastmath": SAFE_MATH, "error_model": "numpy"}
    try:
        return njit(cache=__name__.startswith("gpen2048."), **options)(function)
    except RuntimeError:
        return njit(**options)(function)


# These two are only names: in compiled code the overloads below stand in for them, and as Python they never run.
def widened(x) -> Any:
    """The float32 value of a stored element."""


def narrowed(x, like) -> Any:
    """A float32 value as it is stored where `like` is."""


@overload(widened)
def _widened(x):
    if isinstance(x, types.Float):
        return lambda x: x
    return lambda x: np.uint32(np.uint32(x) << SIXTEEN).view(np.float32)


@overload(narrowed)
def _narrowed(x, like):
    if isinstance(like, types.Float):
        return lambda x, like: x

    def rounded(x, like):
        bits = np.float32(x).view(np.uint32)
        if x != x:  # rounding could carry a not-a-number over into infinity or zero
            return np.uint16((bits >> SIXTEEN) | ONE)
        return np.uint16((bits + HALF_ULP + ((bits >> SIXTEEN) & ONE)) >> SIXTEEN)

    return rounded


@compiled
def activate(x, out, start, stop):
    for i in range(start, stop):
        v = widened(x[i])
        out[i] = narrowed(max(v, SLOPE * v), out[i])


@compiled
def vertical(x, first, height, length, sums):
    """Four rows of `length` elements from row `first` on, summed by the FIR taps; rows outside are zero."""
    if first >= 0 and first + 4 <= height:
        a = x[first * length : (first + 1) * length]
        b = x[(first + 1) * length : (first + 2) * length]
        c = x[(first + 2) * length : (first + 3) * length]
        d = x[(first + 3) * length : (first + 4) * length]
        for i in range(length):
            sums[i] = (widened(a[i]) + widened(d[i])) + THREE * (widened(b[i]) + widened(c[i]))
        return
    for i in range(length):
        sums[i] = np.float32(0)
    for tap in range(4):
        row = first + tap
        if 0 <= row < height:
            weight = THREE if tap == 1 or tap == 2 else np.float32(1)
            line = x[row * length : (row + 1) * length]
            for i in range(length):
                sums[i] += weight * widened(line[i])


@compiled
def blur(x, shape, top, scale, out, start, stop):
    """`shape` is (height, width, channels) of x; the output is one column wider."""
    height, width, channels = shape
    margin = 2 * channels
    length = width * channels
    sums = np.zeros(length + 2 * margin, np.float32)
    wide = length + channels
    for y in range(start, stop):
        vertical(x, top + y, height, length, sums[margin : margin + length])
        line = out[y * wide : (y + 1) * wide]
        a, b = sums[:wide], sums[channels : channels + wide]
        c, d = sums[2 * channels : 2 * channels + wide], sums[3 * channels : 3 * channels + wide]
        for i in range(wide):
            line[i] = narrowed(scale * ((a[i] + d[i]) + THREE * (b[i] + c[i])), line[i])


@compiled
def join(x, shape, top, feature, k, out, start, stop):
    """`shape` is (height, width, channels) of x; the output is one column narrower and has both halves."""
    height, wide, channels = shape
    width = wide - 1
    length = wide * channels
    sums = np.zeros(length + 2 * channels, np.float32)
    for y in range(start, stop):
        vertical(x, top + y, height, length, sums[channels : channels + length])
        for column in range(width):
            pixel = y * width + column
            t = sums[column * channels : (column + 4) * channels]
            f = feature[pixel * channels : (pixel + 1) * channels]
            o = out[pixel * 2 * channels : (pixel + 1) * 2 * channels]
            for c in range(channels):
                v = (t[c] + t[3 * channels + c]) + THREE * (t[channels + c] + t[2 * channels + c])
                v = v * k[c] + k[channels + c]
                o[c] = narrowed(max(v, SLOPE * v) * k[4 * channels + c], o[c])
            for c in range(channels):
                v = widened(f[c]) * k[2 * channels + c] + k[3 * channels + c]
                o[channels + c] = narrowed(max(v, SLOPE * v) * k[5 * channels + c], o[channels + c])


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
def paint(x, channels, width, feature, k, rgb, bias, below, row, image, out, start, stop):
    """`below` and `out` may be empty; `row` is that of the whole image at which `image` starts."""
    line = np.zeros(3 * (width // 2 + 2), np.float32)
    for y in range(start, stop):
        if below.size:
            enlarged(below, width // 2, row + y, line)
        for column in range(width):
            pixel = y * width + column
            t = x[pixel * channels : (pixel + 1) * channels]
            f = feature[pixel * channels : (pixel + 1) * channels]
            r, g, b = bias[0], bias[1], bias[2]
            for c in range(channels):
                v = widened(t[c]) * k[c] + k[channels + c]
                v = max(v, SLOPE * v)
                r += v * rgb[c]
                g += v * rgb[2 * channels + c]
                b += v * rgb[4 * channels + c]
            for c in range(channels):
                v = widened(f[c]) * k[2 * channels + c] + k[3 * channels + c]
                v = max(v, SLOPE * v)
                r += v * rgb[channels + c]
                g += v * rgb[3 * channels + c]
                b += v * rgb[5 * channels + c]
            if out.size:
                o = out[pixel * 2 * channels : (pixel + 1) * 2 * channels]
                for c in range(channels):
                    v = widened(t[c]) * k[c] + k[channels + c]
                    o[c] = narrowed(max(v, SLOPE * v) * k[4 * channels + c], o[c])
                for c in range(channels):
                    v = widened(f[c]) * k[2 * channels + c] + k[3 * channels + c]
                    o[channels + c] = narrowed(max(v, SLOPE * v) * k[5 * channels + c], o[channels + c])
            near = 3 * (column // 2 + 1)
            far = near + 3 if column % 2 == 1 else near - 3
            image[3 * pixel] = r + NEAR * line[near] + FAR * line[far]
            image[3 * pixel + 1] = g + NEAR * line[near + 1] + FAR * line[far + 1]
            image[3 * pixel + 2] = b + NEAR * line[near + 2] + FAR * line[far + 2]
