"""Convolutions of single rows as products of Intel's matrix tiles.

`x` holds rows of bfloat16 values; with `residue` > 0, that far from each value, what rounding took from it.
"""

# pyright: basic, reportCallIssue=false
# (what numba compiles is typed when it is called, and gives an intrinsic one argument more)
from __future__ import annotations

import numpy as np

from ..compiled.compiling import compiled
from .amx_tiles import TILE, pixels_32, pixels_64


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
    """`count` pixels, each `depth` elements from each of `rows` on, `step` apart; `out_step` apart from `to` on in out.

    The last block of pixels may overlap the one before.
    """
    _, block = block_size(outputs)
    shifted = np.empty_like(rows)
    for pixel in range(0, count, block):
        pixel = min(pixel, count - block)
        for r in range(len(rows)):
            shifted[r] = rows[r] + pixel * step
        product(x, residue, shifted, depth, step, weights, at, out, to + pixel * out_step, out_step, outputs)
