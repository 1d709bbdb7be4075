"""Intel's matrix tiles as plain loops, so that walks on tiles can be followed on any processor.

To be run before `gpen2048.cpu.amx_products` is imported, with a cache of its own (NUMBA_CACHE_DIR): compiled code is
kept by the package's sources, which do not show that these stand in.
"""

from __future__ import annotations

import numpy as np
from gpen2048.cpu import amx_levels, amx_tiles
from numba import njit

TILE_DEPTH, TILE_WIDTH = 32, 16


@njit(forceinline=True)
def value(bits):
    """A bfloat16's bits as float32."""
    word = np.empty(1, np.uint32)
    word[0] = np.uint32(bits) << np.uint32(16)
    return word.view(np.float32)[0]


@njit
def product(x, residue, rows, depth, step, weights, at, out, to, out_step, pixels, blocks):
    """As `amx_tiles.pixels_32` (two blocks of outputs) and `pixels_64` (one)."""
    tile = np.empty((TILE_DEPTH, TILE_WIDTH), np.float32)
    sums = np.zeros((blocks, pixels, TILE_WIDTH), np.float32)
    for row in rows:
        for q in range(row, row + depth, TILE_DEPTH):
            for part in range(2 if residue > 0 else 1):
                for block in range(blocks):
                    for i in range(TILE_DEPTH):
                        for o in range(TILE_WIDTH):
                            tile[i, o] = value(weights[at + i // 2 * 2 * TILE_WIDTH + 2 * o + i % 2])
                    at += amx_tiles.TILE
                    for p in range(pixels):
                        for i in range(TILE_DEPTH):
                            pixel = value(x[q + p * step + i])
                            if residue > 0 and part == 0:
                                pixel += value(x[q + residue + p * step + i])
                            sums[block, p] += pixel * tile[i]
    for block in range(blocks):
        for p in range(pixels):
            out[to + p * out_step + TILE_WIDTH * block : to + p * out_step + TILE_WIDTH * (block + 1)] = sums[block, p]


@njit
def pixels_32(x, residue, rows, depth, step, weights, at, out, to, out_step):
    product(x, residue, rows, depth, step, weights, at, out, to, out_step, 32, 2)


@njit
def pixels_64(x, residue, rows, depth, step, weights, at, out, to, out_step):
    product(x, residue, rows, depth, step, weights, at, out, to, out_step, 64, 1)


@njit
def configure(shapes):
    pass


@njit
def release():
    pass


def emulate() -> None:
    """From now on, tiles are everywhere."""
    amx_tiles.pixels_32, amx_tiles.pixels_64 = pixels_32, pixels_64
    amx_tiles.configure, amx_tiles.release = configure, release
    amx_levels._ask_permission = lambda: None
