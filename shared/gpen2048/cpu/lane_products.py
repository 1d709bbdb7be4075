"""Products of pixels by 16 outputs each, summed in registers, for any processor with vectors.

`x` holds pixels in chunks of 16 channels: chunk by chunk, and within a chunk pixel by pixel. Neighbouring pixels are 16
elements apart whatever the number of channels, so every address in the innermost loop is a constant.
"""

# pyright: basic, reportCallIssue=false
# (numba's own interfaces are untyped, and it calls what is called an intrinsic with one argument more)
from __future__ import annotations

from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.core import config
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic

from ..compiled.compiling import compiled
from ..compiled.numba_lanes import COUNT, F32, F32S, FLAGS, I32, I64, address, every

WIDE = "+avx512f"  # 32 registers of 16 lanes each; else 16 of 8 (AVX2), or 32 of 4 (NEON)


def _multiply(pixels: int) -> Any:
    """The product for so many pixels."""

    @intrinsic
    def multiply(typing, x, i, step, chunks, weights, at, out, to):
        """out[to + 16 p + o] = sum of x[i + c step + 16 p + n] weights[at + 256 c + 16 n + o] over chunks c and n."""

        def generate(context, builder, signature, values):
            _, i, step, chunks, _, at, _, to = values
            places = [(0, i), (4, at), (6, to)]
            x, weights, out = (
                address(context, builder, signature.args[n], values[n], index, F32) for n, index in places
            )
            sums = _sum(builder, pixels, x, step, chunks, weights)
            for p, value in enumerate(sums):
                place = builder.gep(out, [ir.Constant(I64, COUNT * p)])
                builder.store(value, builder.bitcast(place, F32S.as_pointer()), align=4)
            return context.get_dummy_value()

        integer = types.int64
        return types.void(x, integer, integer, integer, weights, integer, out, integer), generate

    return multiply


def _sum(builder: ir.IRBuilder, pixels: int, x: Any, step: Any, chunks: Any, weights: Any) -> list[Any]:
    """A loop over chunks, whose sums stay in registers."""
    before, loop, after = builder.block, builder.append_basic_block("chunks"), builder.append_basic_block("after")
    builder.branch(loop)
    builder.position_at_end(loop)
    initial = [ir.Constant(I64, 0), x, weights] + [every(F32, 0.0)] * pixels
    state = [builder.phi(value.type) for value in initial]
    number, x, weights, *sums = state
    sums = _chunk(builder, x, weights, sums)
    number = builder.add(number, ir.Constant(I64, 1))
    following = [number, builder.gep(x, [step]), builder.gep(weights, [ir.Constant(I64, COUNT * COUNT)]), *sums]
    for phi, first, later in zip(state, initial, following):
        phi.add_incoming(first, before)
        phi.add_incoming(later, loop)
    builder.cbranch(builder.icmp_signed("<", number, chunks), loop, after)
    builder.position_at_end(after)
    return sums


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


_16, _12, _8, _6, _4 = (_multiply(pixels) for pixels in (16, 12, 8, 6, 4))


def _wide_sixteen(x, i, step, chunks, weights, at, out, to):
    _16(x, i, step, chunks, weights, at, out, to)


def _wide_twelve(x, i, step, chunks, weights, at, out, to):
    _12(x, i, step, chunks, weights, at, out, to)


def _wide_eight(x, i, step, chunks, weights, at, out, to):
    _8(x, i, step, chunks, weights, at, out, to)


def _narrow_sixteen(x, i, step, chunks, weights, at, out, to):
    _6(x, i, step, chunks, weights, at, out, to)
    _6(x, i + 6 * COUNT, step, chunks, weights, at, out, to + 6 * COUNT)
    _4(x, i + 12 * COUNT, step, chunks, weights, at, out, to + 12 * COUNT)


def _narrow_twelve(x, i, step, chunks, weights, at, out, to):
    _6(x, i, step, chunks, weights, at, out, to)
    _6(x, i + 6 * COUNT, step, chunks, weights, at, out, to + 6 * COUNT)


def _narrow_eight(x, i, step, chunks, weights, at, out, to):
    _4(x, i, step, chunks, weights, at, out, to)
    _4(x, i + 4 * COUNT, step, chunks, weights, at, out, to + 4 * COUNT)


def features() -> str:
    """What numba compiles for, as LLVM names it."""
    chosen = cast(Any, config).CPU_FEATURES
    return get_host_cpu_features() if chosen is None else chosen


IS_WIDE = WIDE in features()
sixteen = compiled(_wide_sixteen if IS_WIDE else _narrow_sixteen)
twelve = compiled(_wide_twelve if IS_WIDE else _narrow_twelve)
eight = compiled(_wide_eight if IS_WIDE else _narrow_eight)


@compiled
def products(x, i, pixels, step, chunks, weights, at, out, to):
    """For `pixels` pixels, a multiple of 4. Twenty are twelve and eight: four alone would wait for their own sums."""
    p = 0
    while pixels - p >= 16 and pixels - p != 20:
        sixteen(x, i + 16 * p, step, chunks, weights, at, out, to + 16 * p)
        p += 16
    if pixels - p >= 12:
        twelve(x, i + 16 * p, step, chunks, weights, at, out, to + 16 * p)
        p += 12
    if pixels - p >= 8:
        eight(x, i + 16 * p, step, chunks, weights, at, out, to + 16 * p)
        p += 8
    if pixels - p > 0:
        _4(x, i + 16 * p, step, chunks, weights, at, out, to + 16 * p)
