"""Sixteen float32 values at once, for numba: what the compiled loops are made of.

Written out because LLVM does not vectorise loops as short as a network's 16 channels by itself. Sixteen lanes are one
register of AVX-512; other processors get two or four. An array element is a float32, or the bits of a bfloat16 in a
uint16. `index` is that of the first of 16 elements.
"""

# pyright: basic, reportCallIssue=false
# (numba's own interfaces are untyped, and it calls what is called an intrinsic with one argument more)
from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

COUNT = 16
I16, I32, I64, F32 = ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
I16S, I32S, F32S = (ir.VectorType(kind, COUNT) for kind in (I16, I32, F32))
FLAGS = ("contract", "nsz", "reassoc")  # none that takes values to be finite: not-a-number must survive
SLOPE = 0.2  # of the leaky ReLU


class Lanes(types.Type):
    """16 float32."""


lanes = Lanes("Lanes")


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any):
        super().__init__(manager, kind, F32S)


def every(kind: ir.Type, value: float) -> ir.Constant:
    """A constant in all lanes."""
    return ir.Constant(ir.VectorType(kind, COUNT), [value] * COUNT)


def address(context: Any, builder: ir.IRBuilder, kind: Any, array: Any, index: Any, target: ir.Type) -> Any:
    """Of an array's element, as a pointer to `target`."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), target.as_pointer())


@intrinsic
def load(typing, array, index):
    """16 elements of a float32 or bfloat16 array."""

    def floats(context, builder, signature, values):
        return builder.load(address(context, builder, signature.args[0], *values, F32S), align=4)

    def halves(context, builder, signature, values):
        bits = builder.load(address(context, builder, signature.args[0], *values, I16S), align=2)
        return builder.bitcast(builder.shl(builder.zext(bits, I32S), every(I32, 16)), F32S)

    return lanes(array, types.int64), floats if isinstance(array.dtype, types.Float) else halves


@intrinsic
def store(typing, array, index, value):
    """16 elements into a float32 array, or rounded into a bfloat16 one."""

    def floats(context, builder, signature, values):
        array, index, value = values
        builder.store(value, address(context, builder, signature.args[0], array, index, F32S), align=4)
        return context.get_dummy_value()

    def halves(context, builder, signature, values):
        array, index, value = values
        high = builder.trunc(builder.lshr(_nearest(builder, value), every(I32, 16)), I16S)
        builder.store(high, address(context, builder, signature.args[0], array, index, I16S), align=2)
        return context.get_dummy_value()

    return types.void(array, types.int64, lanes), floats if isinstance(array.dtype, types.Float) else halves


def _nearest(builder: ir.IRBuilder, value: Any) -> Any:
    """Bits whose upper half is the nearest bfloat16, ties to even; not-a-number stays that."""
    bits = builder.bitcast(value, I32S)
    odd = builder.and_(builder.lshr(bits, every(I32, 16)), every(I32, 1))
    rounded = builder.add(bits, builder.add(odd, every(I32, 0x7FFF)))
    broken = builder.fcmp_unordered("uno", value, value)
    return builder.select(broken, builder.or_(bits, every(I32, 0x10000)), rounded)


@intrinsic
def coarse(typing, value):
    """The nearest bfloat16 values, as float32."""

    def generate(context, builder, signature, values):
        return builder.bitcast(builder.and_(_nearest(builder, values[0]), every(I32, 0xFFFF0000)), F32S)

    return lanes(lanes), generate


@intrinsic
def splat(typing, value):
    """One value in all lanes."""

    def generate(context, builder, signature, values):
        first = builder.insert_element(ir.Constant(F32S, ir.Undefined), values[0], ir.Constant(I32, 0))
        return builder.shuffle_vector(first, ir.Constant(F32S, ir.Undefined), every(I32, 0))

    return lanes(types.float32), generate


@intrinsic
def add(typing, a, b):
    def generate(context, builder, signature, values):
        return builder.fadd(*values, flags=FLAGS)

    return lanes(lanes, lanes), generate


@intrinsic
def subtract(typing, a, b):
    """Exactly a - b."""

    def generate(context, builder, signature, values):
        return builder.fsub(*values)

    return lanes(lanes, lanes), generate


@intrinsic
def multiply(typing, a, b):
    def generate(context, builder, signature, values):
        return builder.fmul(*values, flags=FLAGS)

    return lanes(lanes, lanes), generate


@intrinsic
def leaky(typing, value):
    """Leaky ReLU without gain."""

    def generate(context, builder, signature, values):
        (value,) = values
        small = builder.fmul(value, every(F32, SLOPE), flags=FLAGS)
        return builder.select(builder.fcmp_ordered(">", value, small), value, small)

    return lanes(lanes), generate


@intrinsic
def within(typing, value, low, high):
    """`value`, at least `low` and at most `high`; not-a-number stays that."""

    def generate(context, builder, signature, values):
        value, low, high = values
        value = builder.select(builder.fcmp_ordered("<", value, low), low, value)
        return builder.select(builder.fcmp_ordered(">", value, high), high, value)

    return lanes(lanes, lanes, lanes), generate


@intrinsic
def total(typing, value):
    """The sum over all lanes."""

    def generate(context, builder, signature, values):
        kind = ir.FunctionType(F32, [F32, F32S])
        sums = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.fadd.v{COUNT}f32")
        return builder.call(sums, [ir.Constant(F32, 0.0), values[0]], fastmath=("reassoc",))

    return types.float32(lanes), generate
