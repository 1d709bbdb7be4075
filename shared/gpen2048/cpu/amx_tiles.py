"""Intel's matrix tiles (AMX) for numba: products of bfloat16 matrices, summed in float32.

A tile has 16 rows of 64 bytes. Tiles 0 to 3 hold sums, 4 and 5 pixels (16 rows of 32 channels), 6 and 7 weights
(16 pairs of channels by 16 outputs). Instructions: Intel 64 and IA-32 Architectures Software Developer's Manual, 2B.
"""

# pyright: basic, reportCallIssue=false
# (numba's own interfaces are untyped, and it calls what is called an intrinsic with one argument more)
from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..compiled.compiling import compiled
from ..compiled.numba_lanes import address

I8, I64 = ir.IntType(8), ir.IntType(64)
ROW = 64  # bytes from one row of a packed tile to the next
TILE = 512  # bfloat16 values of a tile


def _emit(builder: ir.IRBuilder, name: str, *arguments: Any) -> None:
    kind = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
    builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.{name}"), arguments)


def _moving(name: str, tile: int) -> Any:
    @intrinsic
    def move(typing, array, index, step):
        """Between a tile and rows that begin `step` bytes apart, from an array's element on."""

        def generate(context, builder, signature, values):
            array, index, step = values
            place = address(context, builder, signature.args[0], array, index, I8)
            _emit(builder, name, ir.Constant(I8, tile), place, step)
            return context.get_dummy_value()

        return types.void(array, types.int64, types.int64), generate

    return move


def _fixed(name: str, *tiles: int) -> Any:
    @intrinsic
    def act(typing):
        def generate(context, builder, signature, values):
            _emit(builder, name, *(ir.Constant(I8, tile) for tile in tiles))
            return context.get_dummy_value()

        return types.void(), generate

    return act


@intrinsic
def configure(typing, shapes):
    """Gives this thread the tiles that `SHAPES` describes."""

    def generate(context, builder, signature, values):
        _emit(builder, "ldtilecfg", address(context, builder, signature.args[0], values[0], ir.Constant(I64, 0), I8))
        return context.get_dummy_value()

    return types.void(shapes), generate


def _shapes() -> np.ndarray[Any, Any]:
    """The operand of LDTILECFG: palette 1; bytes per row at 16, rows at 48, for each of eight tiles."""
    shapes = np.zeros(64, np.uint8)
    shapes[0] = 1
    shapes[16:32].view(np.uint16)[:] = ROW
    shapes[48:56] = 16
    return shapes


SHAPES = _shapes()
release = _fixed("tilerelease")
pixels_4, pixels_5, weights_6, weights_7 = (_moving("tileloadd64", tile) for tile in (4, 5, 6, 7))
sums_0, sums_1, sums_2, sums_3 = (_moving("tilestored64", tile) for tile in range(4))
zero_0, zero_1, zero_2, zero_3 = (_fixed("tilezero", tile) for tile in range(4))
add_046, add_147, add_256, add_357 = (
    _fixed("tdpbf16ps", *tiles) for tiles in ((0, 4, 6), (1, 4, 7), (2, 5, 6), (3, 5, 7))
)
add_047, add_156, add_157, add_246, add_247, add_356 = (
    _fixed("tdpbf16ps", *tiles) for tiles in ((0, 4, 7), (1, 5, 6), (1, 5, 7), (2, 4, 6), (2, 4, 7), (3, 5, 6))
)


@compiled
def clear_sums():
    zero_0()
    zero_1()
    zero_2()
    zero_3()


@compiled
def two_by_two():
    add_046()
    add_147()
    add_256()
    add_357()


@compiled
def pixels_32(x, residue, rows, depth, step, weights, at, out, to, out_step):
    """32 pixels times the weights of 32 outputs, summed over `depth` consecutive elements of each of `rows`.

    `step` and `out_step` are the elements between two pixels of x and out. With `residue` > 0, that far from its
    nearest bfloat16 value lies what rounding took from it, and so it is with the weights: three products then give the
    precision of float32, but for the product of what was taken, 2^-18 of the whole.
    """
    clear_sums()
    half = 16 * step
    for row in rows:
        for q in range(row, row + depth, 32):
            weights_6(weights, at, ROW)
            weights_7(weights, at + TILE, ROW)
            if residue > 0:
                pixels_4(x, q + residue, 2 * step)
                pixels_5(x, q + residue + half, 2 * step)
                two_by_two()
            pixels_4(x, q, 2 * step)
            pixels_5(x, q + half, 2 * step)
            two_by_two()
            at += 2 * TILE
            if residue > 0:
                weights_6(weights, at, ROW)
                weights_7(weights, at + TILE, ROW)
                two_by_two()
                at += 2 * TILE
    sums_0(out, to, 4 * out_step)
    sums_1(out, to + 16, 4 * out_step)
    sums_2(out, to + 16 * out_step, 4 * out_step)
    sums_3(out, to + 16 * out_step + 16, 4 * out_step)


@compiled
def pixels_64(x, residue, rows, depth, step, weights, at, out, to, out_step):
    """As `pixels_32`, 64 pixels times the weights of 16 outputs."""
    clear_sums()
    quarter = 16 * step
    for row in rows:
        for q in range(row, row + depth, 32):
            weights_6(weights, at, ROW)
            at += TILE
            if residue > 0:
                weights_7(weights, at, ROW)
                at += TILE
                pixels_4(x, q + residue, 2 * step)
                pixels_5(x, q + residue + quarter, 2 * step)
                add_046()
                add_156()
                pixels_4(x, q + residue + 2 * quarter, 2 * step)
                pixels_5(x, q + residue + 3 * quarter, 2 * step)
                add_246()
                add_356()
            pixels_4(x, q, 2 * step)
            pixels_5(x, q + quarter, 2 * step)
            add_046()
            add_156()
            if residue > 0:
                add_047()
                add_157()
            pixels_4(x, q + 2 * quarter, 2 * step)
            pixels_5(x, q + 3 * quarter, 2 * step)
            add_246()
            add_356()
            if residue > 0:
                add_247()
                add_357()
    sums_0(out, to, 4 * out_step)
    sums_1(out, to + 16 * out_step, 4 * out_step)
    sums_2(out, to + 32 * out_step, 4 * out_step)
    sums_3(out, to + 48 * out_step, 4 * out_step)
