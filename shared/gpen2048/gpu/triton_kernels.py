"""The passes of `folded/passes.py`, FIR filter and all, as Triton kernels. Imported on first use only, since Triton is.

A program does block_x columns of one row of one image; tensors are channels_last, so a column's channels are next to
each other and columns are `channels` (of a joined tensor twice as many) elements apart. Arithmetic is float32.
"""

# pyright: basic, reportArgumentType=false, reportGeneralTypeIssues=false, reportCallIssue=false
# (what Triton compiles is typed when it is called)
from __future__ import annotations

import triton
import triton.language as tl

SLOPE = tl.constexpr(0.2)  # of the leaky ReLU
# Arguments whose values make no faster code, only more kernels to compile.
PLACES = ("height", "width", "columns", "first", "top", "above", "before", "row", "rows")


def kernel(function):
    """What Triton compiles of `function`, once for all PLACES; Triton 2.1 takes no names that are not arguments'."""
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    return triton.jit(do_not_specialize=[name for name in PLACES if name in names])(function)


@triton.jit
def _leaky(v):
    return tl.where(v > 0, v, v * SLOPE)


@triton.jit
def _filtered_row(x, y, height, width, channels, column, c, pad: tl.constexpr):
    """The FIR taps 1, 3, 3, 1 along row `y` from column `column - pad` on, over 64; zero outside. [block_x, c]"""
    total = tl.zeros([column.shape[0], c.shape[0]], dtype=tl.float32)
    for j in tl.static_range(4):
        col = column - pad + j
        inside = (col >= 0) & (col < width) & (y >= 0) & (y < height)
        address = x + (y * width + col)[:, None] * channels + c[None, :]
        value = tl.load(address, mask=inside[:, None] & (c < channels)[None, :], other=0.0).to(tl.float32)
        total += value * ((3.0 if j == 1 or j == 2 else 1.0) / 64.0)
    return total


@triton.jit
def _three_rows(x, y, height, width, channels, column, c, pad: tl.constexpr):
    """The first three rows that a filter starting at row `y` meets."""
    above = _filtered_row(x, y, height, width, channels, column, c, pad)
    upper = _filtered_row(x, y + 1, height, width, channels, column, c, pad)
    lower = _filtered_row(x, y + 2, height, width, channels, column, c, pad)
    return above, upper, lower


@triton.jit
def _row(k, row: tl.constexpr, channels, c):
    """A row of the constants, or half a row of the weights of colours, for some channels. [1, c]"""
    return tl.load(k + row * channels + c, mask=c < channels, other=0.0)[None, :]


@kernel
def colour(
    planes, weight, bias, out, width, channels, rows, image_stride, plane_stride, row_stride, column_stride, out_image,
    block_x: tl.constexpr, block_c: tl.constexpr,
):  # fmt: skip
    """The first encoder layer: a 1x1 convolution of three planes, given by their strides, and leaky ReLU."""
    image, y = (tl.program_id(0) // rows).to(tl.int64), tl.program_id(0) % rows
    column = tl.program_id(1) * block_x + tl.arange(0, block_x)
    c = tl.program_id(2) * block_c + tl.arange(0, block_c)
    inside, valid = column < width, c < channels
    v = tl.zeros([block_x, block_c], dtype=tl.float32) + tl.load(bias + c, mask=valid, other=0.0)[None, :]
    for plane in tl.static_range(3):
        address = planes + image * image_stride + plane * plane_stride + y * row_stride + column * column_stride
        value = tl.load(address, mask=inside, other=0.0).to(tl.float32)
        v += value[:, None] * tl.load(weight + 3 * c + plane, mask=valid, other=0.0).to(tl.float32)[None, :]
    address = out + image * out_image + (y * width + column)[:, None] * channels + c[None, :]
    tl.store(address, _leaky(v).to(out.dtype.element_ty), mask=inside[:, None] & valid[None, :])


@kernel
def activate(x, bias, out, length, channels, rows, x_image, out_image, block: tl.constexpr):
    """Leaky ReLU of x plus bias, of rows of `length` elements; `out` may be x."""
    image, y = (tl.program_id(0) // rows).to(tl.int64), tl.program_id(0) % rows
    i = tl.program_id(1) * block + tl.arange(0, block)
    known = i < length
    v = tl.load(x + image * x_image + y * length + i, mask=known, other=0.0).to(tl.float32)
    v = _leaky(v + tl.load(bias + i % channels, mask=known, other=0.0))
    tl.store(out + image * out_image + y * length + i, v.to(out.dtype.element_ty), mask=known)


@kernel
def blur(
    x, out, height, width, channels, top, rows, x_image, out_image, block_x: tl.constexpr, block_c: tl.constexpr,
    block_y: tl.constexpr,
):  # fmt: skip
    """`out` is one column wider than x. A program does block_y rows, so that each row is read and filtered once."""
    blocks = tl.cdiv(rows, block_y)
    image, row = (tl.program_id(0) // blocks).to(tl.int64), tl.program_id(0) % blocks * block_y
    column = tl.program_id(1) * block_x + tl.arange(0, block_x)
    c = tl.program_id(2) * block_c + tl.arange(0, block_c)
    known = (column <= width)[:, None] & (c < channels)[None, :]
    x += image * x_image
    out += image * out_image + column[:, None] * channels + c[None, :]
    above, upper, lower = _three_rows(x, top + row, height, width, channels, column, c, 2)
    for y in tl.static_range(block_y):
        below = _filtered_row(x, top + row + y + 3, height, width, channels, column, c, 2)
        v = above + 3.0 * (upper + lower) + below
        address = out + (row + y) * (width + 1) * channels
        tl.store(address, v.to(out.dtype.element_ty), mask=known & (row + y < rows))
        above, upper, lower = upper, lower, below


@kernel
def join(
    x, feature, k, out, height, width, channels, top, rows, x_image, feature_image, out_image,
    block_x: tl.constexpr, block_c: tl.constexpr, block_y: tl.constexpr,
):  # fmt: skip
    """`out` is one column narrower than x and has both halves; rows as in `blur`."""
    blocks = tl.cdiv(rows, block_y)
    image, row = (tl.program_id(0) // blocks).to(tl.int64), tl.program_id(0) % blocks * block_y
    column = tl.program_id(1) * block_x + tl.arange(0, block_x)
    c = tl.program_id(2) * block_c + tl.arange(0, block_c)
    known = (column < width - 1)[:, None] & (c < channels)[None, :]
    k += image * 6 * channels
    # Read before anything is stored, which might be anywhere for all the compiler knows.
    gain, bias, modulation = _row(k, 0, channels, c), _row(k, 1, channels, c), _row(k, 4, channels, c)
    gain_2, bias_2, modulation_2 = _row(k, 2, channels, c), _row(k, 3, channels, c), _row(k, 5, channels, c)
    x += image * x_image
    feature += image * feature_image
    out += image * out_image
    above, upper, lower = _three_rows(x, top + row, height, width, channels, column, c, 1)
    for y in tl.static_range(block_y):
        below = _filtered_row(x, top + row + y + 3, height, width, channels, column, c, 1)
        inside = known & (row + y < rows)
        pixel = ((row + y) * (width - 1) + column)[:, None] * channels + c[None, :]
        f = tl.load(feature + pixel, mask=inside, other=0.0).to(tl.float32)
        first = _leaky((above + 3.0 * (upper + lower) + below) * gain + bias) * modulation
        second = _leaky(f * gain_2 + bias_2) * modulation_2
        address = out + ((row + y) * (width - 1) + column)[:, None] * 2 * channels + c[None, :]
        tl.store(address, first.to(out.dtype.element_ty), mask=inside)
        tl.store(address + channels, second.to(out.dtype.element_ty), mask=inside)
        above, upper, lower = upper, lower, below


@triton.jit
def _doubled(below, size, y, column, colour: tl.constexpr, known):
    """A row of the doubled image: weights 3/4 and 1/4 of the near and the far pixel on both axes; zero outside."""
    total = tl.zeros([column.shape[0]], dtype=tl.float32)
    y += tl.zeros_like(column)
    for i in tl.static_range(2):
        for j in tl.static_range(2):
            row = y // 2 + i * (2 * (y % 2) - 1)
            col = column // 2 + j * (2 * (column % 2) - 1)
            inside = known & (row >= 0) & (row < size) & (col >= 0) & (col < size)
            value = tl.load(below + (row * size + col) * 3 + colour, mask=inside, other=0.0)
            total += value * ((0.25 if i == 1 else 0.75) * (0.25 if j == 1 else 0.75))
    return total


@triton.jit
def _product(first, second, rgb, colour: tl.constexpr, channels, c):
    """Of both halves' channels with their weights for a colour. [block_x]"""
    return tl.sum(first * _row(rgb, 2 * colour, channels, c) + second * _row(rgb, 2 * colour + 1, channels, c), axis=1)


@kernel
def paint(
    x, feature, k, rgb, bias, below, out, target, width, channels, row, rows, x_image, feature_image, out_image,
    target_image, has_below: tl.constexpr, has_out: tl.constexpr, block_x: tl.constexpr, block_c: tl.constexpr,
):  # fmt: skip
    """Both halves, their product with `rgb` (3, 2C) into the image `target`, and next to each other into `out`."""
    image, y = (tl.program_id(0) // rows).to(tl.int64), tl.program_id(0) % rows
    column = tl.program_id(1) * block_x + tl.arange(0, block_x)
    inside = column < width
    pixel = y * width + column
    k += image * 6 * channels
    rgb += image * 6 * channels
    red = tl.zeros([block_x], dtype=tl.float32)
    green = tl.zeros([block_x], dtype=tl.float32)
    blue = tl.zeros([block_x], dtype=tl.float32)
    for start in range(0, channels, block_c):
        c = start + tl.arange(0, block_c)
        known = inside[:, None] & (c < channels)[None, :]
        place = pixel[:, None] * channels + c[None, :]
        first = tl.load(x + image * x_image + place, mask=known, other=0.0).to(tl.float32)
        second = tl.load(feature + image * feature_image + place, mask=known, other=0.0).to(tl.float32)
        first = _leaky(first * _row(k, 0, channels, c) + _row(k, 1, channels, c))
        second = _leaky(second * _row(k, 2, channels, c) + _row(k, 3, channels, c))
        red += _product(first, second, rgb, 0, channels, c)
        green += _product(first, second, rgb, 1, channels, c)
        blue += _product(first, second, rgb, 2, channels, c)
        if has_out:
            address = out + image * out_image + pixel[:, None] * 2 * channels + c[None, :]
            tl.store(address, (first * _row(k, 4, channels, c)).to(out.dtype.element_ty), mask=known)
            tl.store(address + channels, (second * _row(k, 5, channels, c)).to(out.dtype.element_ty), mask=known)
    red += tl.load(bias)
    green += tl.load(bias + 1)
    blue += tl.load(bias + 2)
    if has_below:
        size = width // 2
        below += image * size * size * 3
        red += _doubled(below, size, row + y, column, 0, inside)
        green += _doubled(below, size, row + y, column, 1, inside)
        blue += _doubled(below, size, row + y, column, 2, inside)
    address = target + image * target_image + pixel * 3
    tl.store(address, red, mask=inside)
    tl.store(address + 1, green, mask=inside)
    tl.store(address + 2, blue, mask=inside)
