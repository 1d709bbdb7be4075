"""Convolutions as products of 16 pixels by 16 outputs in float32, for any processor with vectors.

`x` holds pixels in chunks of 16 channels: chunk by chunk, and within a chunk pixel by pixel. Neighbouring pixels are 16
elements apart whatever the number of channels, so every address in the innermost loop is a constant.
"""

# pyright: basic, reportCallIssue=false
# (numba's own interfaces are untyped, and it calls what is called an intrinsic with one argument more)
from __future__ import annotations

from typing import Any, cast

from llvmlite import binding, ir
from numba import types
from numba.core import config
from numba.extending import intrinsic

from .compiling import compiled
from .numba_lanes import COUNT, F32, F32S, FLAGS, I32, I64, address, every

PIXELS = 16
WIDE = "+avx512f"  # 32 registers of 16 lanes each; else 16 of 8 (AVX2), or 32 of 4 (NEON)


def _features() -> str:
    """What numba compiles for."""
    return cast(Any, config).CPU_FEATURES or binding.get_host_cpu_features().flatten()


def _multiply(pixels: int) -> Any:
    """The product for so many pixels, whose sums stay in registers."""

    @intrinsic
    def multiply(typing, x, first, starts, count, step, chunks, weights, at, out, to, out_step):
        """out[to + p out_step + o] = sum of x[first + starts[s] + 16 p + c step + i] weights[at + …] over s, c, i.

        Weights are 16 outputs for every channel of every chunk of every start, one after the other.
        """

        def generate(context, builder, signature, values):
            places = {}
            for name, number, index in (("x", 0, 1), ("weights", 6, 7), ("out", 8, 9)):
                places[name] = address(context, builder, signature.args[number], values[number], values[index], F32)
            starts = address(context, builder, signature.args[2], values[2], ir.Constant(I64, 0), I64)
            _, _, _, count, step, chunks, _, _, _, _, out_step = values
            sums = _sum(builder, pixels, places, starts, count, step, chunks)
            for p, value in enumerate(sums):
                row = builder.gep(places["out"], [builder.mul(out_step, ir.Constant(I64, p))])
                builder.store(value, builder.bitcast(row, F32S.as_pointer()), align=4)
            return context.get_dummy_value()

        integer = types.int64
        return types.void(
            x, integer, starts, integer, integer, integer, weights, integer, out, integer, integer
        ), generate

    return multiply


def _sum(builder: ir.IRBuilder, pixels: int, places: Any, starts: Any, count: Any, step: Any, chunks: Any) -> list[Any]:
    """Two loops: over starts, and over the chunks from each."""
    before = builder.block
    outer, inner, latch, done = (builder.append_basic_block(name) for name in ("starts", "chunks", "latch", "done"))
    builder.branch(outer)

    builder.position_at_end(outer)
    kinds = [I64, places["weights"].type] + [F32S] * pixels
    start, outer_weights, *outer_sums = (builder.phi(kind) for kind in kinds)
    initial = [ir.Constant(I64, 0), places["weights"]] + [every(F32, 0.0)] * pixels
    for phi, value in zip((start, outer_weights, *outer_sums), initial):
        phi.add_incoming(value, before)
    outer_x = builder.gep(places["x"], [builder.load(builder.gep(starts, [start]))])
    builder.branch(inner)

    builder.position_at_end(inner)
    chunk, x, weights, *sums = (builder.phi(kind) for kind in [I64, outer_x.type, *kinds[1:]])
    for phi, value in zip((chunk, x, weights, *sums), (ir.Constant(I64, 0), outer_x, outer_weights, *outer_sums)):
        phi.add_incoming(value, outer)
    added = _chunk(builder, x, weights, sums)
    following = builder.add(chunk, ir.Constant(I64, 1))
    next_x, next_weights = builder.gep(x, [step]), builder.gep(weights, [ir.Constant(I64, COUNT * COUNT)])
    for phi, value in zip((chunk, x, weights, *sums), (following, next_x, next_weights, *added)):
        phi.add_incoming(value, inner)
    builder.cbranch(builder.icmp_signed("<", following, chunks), inner, latch)

    builder.position_at_end(latch)
    next_start = builder.add(start, ir.Constant(I64, 1))
    for phi, value in zip((start, outer_weights, *outer_sums), (next_start, next_weights, *added)):
        phi.add_incoming(value, latch)
    builder.cbranch(builder.icmp_signed("<", next_start, count), outer, done)

    builder.position_at_end(done)
    return added


def _chunk(builder: ir.IRBuilder, x: Any, weights: Any, sums: list[Any]) -> list[Any]:
    """16 channels of every pixel times their weights, added to `sums`."""
    undefined = ir.Constant(F32S, ir.Undefined)
    for channel in range(COUNT):
        place = builder.gep(weights, [ir.Constant(I64, COUNT * channel)])
        weight = builder.load(builder.bitcast(place, F32S.as_pointer()), align=4)
        added = []
        for p, value in enumerate(sums):
            one = builder.load(builder.gep(x, [ir.Constant(I64, COUNT * p + channel)]), align=4)
            lanes = builder.insert_element(undefined, one, ir.Constant(I32, 0))
            lanes = builder.shuffle_vector(lanes, undefined, every(I32, 0))
            added.append(builder.fadd(value, builder.fmul(lanes, weight, flags=FLAGS), flags=FLAGS))
        sums = added
    return sums


_16, _6, _4 = _multiply(16), _multiply(6), _multiply(4)


def _wide(x, first, starts, count, step, chunks, weights, at, out, to, out_step):
    _16(x, first, starts, count, step, chunks, weights, at, out, to, out_step)


def _narrow(x, first, starts, count, step, chunks, weights, at, out, to, out_step):
    _6(x, first, starts, count, step, chunks, weights, at, out, to, out_step)
    _6(x, first + 96, starts, count, step, chunks, weights, at, out, to + 6 * out_step, out_step)
    _4(x, first + 192, starts, count, step, chunks, weights, at, out, to + 12 * out_step, out_step)


product = compiled(_wide if WIDE in _features() else _narrow)


@compiled
def convolve_row(x, starts, count, step, chunks, weights, at, out, to, out_step, pixels):
    """`product` for `pixels` pixels, at least 16; the last ones may be computed twice."""
    for pixel in range(0, pixels, PIXELS):
        pixel = min(pixel, pixels - PIXELS)
        product(x, 16 * pixel, starts, count, step, chunks, weights, at, out, to + pixel * out_step, out_step)
