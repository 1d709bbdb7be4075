"""Pixels of four float32 channels in numba's sixteen lanes: between planes and pixels, and the sum of a row of taps."""

# pyright: basic, reportCallIssue=false
# (numba's own interfaces are untyped, and it calls what is called an intrinsic with one argument more)
from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .numba_lanes import COUNT, F32, FLAGS, I32, I64, address, lanes

PIXEL = ir.VectorType(F32, 4)
FIRSTS = range(0, COUNT, 4)  # lanes that pixels begin at


def _pick(builder: ir.IRBuilder, a: Any, b: Any, numbers: list[int]) -> Any:
    """Elements of `a` and, numbered after them, of `b`."""
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, len(numbers)), numbers))


@intrinsic
def load_quarters(typing, array, index):
    """4 elements of a float32 array, each in four lanes."""

    def generate(context, builder, signature, values):
        value = builder.load(address(context, builder, signature.args[0], *values, PIXEL), align=4)
        return _pick(builder, value, value, [n // 4 for n in range(COUNT)])

    return lanes(array, types.int64), generate


@intrinsic
def store_quarters(typing, array, index, value):
    """The sum of four lanes 4 apart, for each of the first four: 4 elements into a float32 array."""

    def generate(context, builder, signature, values):
        array, index, value = values
        for count in (8, 4):
            low, high = (_pick(builder, value, value, list(range(n, n + count))) for n in (0, count))
            value = builder.fadd(low, high, flags=FLAGS)
        builder.store(value, address(context, builder, signature.args[0], array, index, PIXEL), align=4)
        return context.get_dummy_value()

    return types.void(array, types.int64, lanes), generate


@intrinsic
def load_fourths(typing, array, index):
    """Every fourth of 64 elements of a float32 array, from `index` on: one channel of 16 pixels."""

    def generate(context, builder, signature, values):
        wide = ir.VectorType(F32, 4 * COUNT)
        value = builder.load(address(context, builder, signature.args[0], *values, wide), align=4)
        return _pick(builder, value, value, list(range(0, 4 * COUNT, 4)))

    return lanes(array, types.int64), generate


@intrinsic
def store_pixels(typing, array, index, step, a, b, c, d):
    """16 pixels with these channels into a float32 array, the first at `index`, each `step` after the one before."""

    def generate(context, builder, signature, values):
        array, index, step, *channels = values
        for number, pixel in enumerate(_interleaved(builder, channels)):
            at = builder.add(index, builder.mul(step, ir.Constant(I64, number)))
            builder.store(pixel, address(context, builder, signature.args[0], array, at, PIXEL), align=4)
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64, lanes, lanes, lanes, lanes), generate


def _interleaved(builder: ir.IRBuilder, channels: list[Any]) -> list[Any]:
    """16 pixels from four channels, by shuffles within quarters of a register."""
    a, b, c, d = channels
    fours = []  # at j: pixels j, 4 + j, 8 + j and 12 + j
    for half in (0, 2):
        unpack = [n for k in FIRSTS for n in (k + half, COUNT + k + half, k + half + 1, COUNT + k + half + 1)]
        upper, lower = _pick(builder, a, b, unpack), _pick(builder, c, d, unpack)
        for pair in (0, 2):
            join = [n for k in FIRSTS for n in (k + pair, k + pair + 1, COUNT + k + pair, COUNT + k + pair + 1)]
            fours.append(_pick(builder, upper, lower, join))
    return [_pick(builder, fours[n % 4], fours[n % 4], list(range(n // 4 * 4, n // 4 * 4 + 4))) for n in range(COUNT)]
