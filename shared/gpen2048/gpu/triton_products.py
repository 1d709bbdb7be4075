"""Whole levels of few channels as one or two Triton kernels: convolutions as products of matrices on tensor cores.

Libraries leave most of such a level's time to reading and writing what lies between convolution, filter and activation;
here that stays in registers. Rows of the matrices are `group` neighbouring output columns each, and one weight matrix
gives all outputs of a group from all inputs that they meet (`folded/window_weights.py`): its zeros cost less than
reading each input three times. Tensors are channels_last; `step` are the input columns from one group to the next.
"""

# pyright: basic, reportArgumentType=false, reportGeneralTypeIssues=false, reportCallIssue=false, reportOperatorIssue=false
# (what Triton compiles is typed when it is called)
from __future__ import annotations

import triton
import triton.language as tl

from .triton_kernels import _doubled, _leaky, _product, _row, kernel


@triton.jit
def _window(x, row, height, width, first, groups, span: tl.constexpr, channels: tl.constexpr, step: tl.constexpr, k):
    """Elements `k` of the `span` columns of a row that each group meets, from `first` on; zero outside. [groups, k]"""
    column = (groups * step + first)[:, None] + (k // channels)[None, :]
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    address = (row * width + first) * channels + (groups * (step * channels))[:, None] + k[None, :]
    return tl.load(x + address, mask=inside, other=0.0)


@triton.jit
def _products(
    x, weight, row, height, width, first, groups, n, taps: tl.constexpr, span: tl.constexpr, channels: tl.constexpr,
    step: tl.constexpr, block_k: tl.constexpr, precision: tl.constexpr,
):  # fmt: skip
    """Windows of `taps` rows from `row` on times rows `n` of weights (outputs, taps * span * channels), float32."""
    chunks: tl.constexpr = span * channels // block_k
    length: tl.constexpr = taps * span * channels
    total = tl.zeros([groups.shape[0], n.shape[0]], dtype=tl.float32)
    for i in range(0, taps * chunks):
        k = (i % chunks) * block_k + tl.arange(0, block_k)
        part = _window(x, row + i // chunks, height, width, first, groups, span, channels, step, k)
        factors = tl.load(weight + (i * block_k + tl.arange(0, block_k))[:, None] + n[None, :] * length)
        total = tl.dot(part, factors, total, input_precision=precision)
    return total


@kernel
def convolve(
    x, weight, out, height, width, rows, columns, above, before, channels: tl.constexpr, outputs, x_image, out_image,
    stride: tl.constexpr, block_m: tl.constexpr, block_n: tl.constexpr, block_k: tl.constexpr, precision: tl.constexpr,
):  # fmt: skip
    """A 3x3 convolution alone; windows begin at row `above` and column `before` (0 or -1)."""
    image, y = (tl.program_id(0) // rows).to(tl.int64), tl.program_id(0) % rows
    column = tl.program_id(1) * block_m + tl.arange(0, block_m)
    n = tl.program_id(2) * block_n + tl.arange(0, block_n)
    v = _products(
        x + image * x_image, weight, y * stride + above, height, width, before, column, n, 3, 3, channels,
        stride, block_k, precision,
    )  # fmt: skip
    address = out + image * out_image + ((y * columns + column) * outputs)[:, None] + n[None, :]
    tl.store(address, v.to(out.dtype.element_ty), mask=(column < columns)[:, None])


@kernel
def shrink(
    x, weight, bias, out, height, width, top, rows, x_image, out_image, channels: tl.constexpr, outputs: tl.constexpr,
    group: tl.constexpr, block_m: tl.constexpr, block_k: tl.constexpr, precision: tl.constexpr,
):  # fmt: skip
    """FIR filter and strided convolution, folded into one of 6x6, bias, leaky ReLU."""
    image, y = (tl.program_id(0) // rows).to(tl.int64), tl.program_id(0) % rows
    groups = tl.program_id(1) * block_m + tl.arange(0, block_m)
    n = tl.arange(0, group * outputs)
    v = _products(
        x + image * x_image, weight, 2 * y + top, height, width, -2, groups, n, 6, 2 * group + 4, channels, 2 * group,
        block_k, precision,
    )  # fmt: skip
    v = _leaky(v + tl.load(bias + n % outputs)[None, :])
    address = out + image * out_image + (y * (width // 2) * outputs + groups * (group * outputs))[:, None] + n[None, :]
    tl.store(address, v.to(out.dtype.element_ty), mask=(groups * group < width // 2)[:, None])


@triton.jit
def _store_joined(total, feature, k, out, row, rows, width, start, columns: tl.constexpr, channels: tl.constexpr):
    """A row of both halves, activated and modulated, if it is one of `rows`."""
    column = start + tl.arange(0, columns)
    c = tl.arange(0, channels)
    known = ((column < width) & (row >= 0) & (row < rows))[:, None] & (c < channels)[None, :]
    pixel = (row * width + column)[:, None]
    v = tl.reshape(total, [columns, channels])
    f = tl.load(feature + pixel * channels + c[None, :], mask=known, other=0.0).to(tl.float32)
    v = _leaky(v * _row(k, 0, channels, c) + _row(k, 1, channels, c)) * _row(k, 4, channels, c)
    f = _leaky(f * _row(k, 2, channels, c) + _row(k, 3, channels, c)) * _row(k, 5, channels, c)
    address = out + pixel * (2 * channels) + c[None, :]
    tl.store(address, v.to(out.dtype.element_ty), mask=known)
    tl.store(address + channels, f.to(out.dtype.element_ty), mask=known)


@kernel
def join(
    x, weight, feature, k, out, height, width, first, rows, x_image, feature_image, out_image, inputs: tl.constexpr,
    channels: tl.constexpr, block_m: tl.constexpr, block_k: tl.constexpr, precision: tl.constexpr,
):  # fmt: skip
    """Doubling convolution and FIR filter, folded into one of 3x3 for each of four outputs; both halves of all rows.

    A program does two rows of the doubled image; the first of `rows` is its row `first`.
    """
    pairs = (rows + first % 2 + 1) // 2
    image, pair = (tl.program_id(0) // pairs).to(tl.int64), tl.program_id(0) % pairs
    column = tl.program_id(1) * block_m + tl.arange(0, block_m)
    n = tl.arange(0, 2 * channels)
    chunks: tl.constexpr = 3 * inputs // block_k
    length: tl.constexpr = 9 * inputs
    upper = tl.zeros([block_m, 2 * channels], dtype=tl.float32)
    lower = tl.zeros([block_m, 2 * channels], dtype=tl.float32)
    x += image * x_image
    for i in range(0, 3 * chunks):
        e = (i % chunks) * block_k + tl.arange(0, block_k)
        part = _window(x, first // 2 + pair - 1 + i // chunks, height, width, -1, column, 3, inputs, 1, e)
        factors = weight + (i * block_k + tl.arange(0, block_k))[:, None] + n[None, :] * length
        upper = tl.dot(part, tl.load(factors), upper, input_precision=precision)
        lower = tl.dot(part, tl.load(factors + 2 * channels * length), lower, input_precision=precision)
    k += image * 6 * channels
    feature += image * feature_image
    out += image * out_image
    row, start = 2 * pair - first % 2, tl.program_id(1) * (2 * block_m)
    _store_joined(upper, feature, k, out, row, rows, 2 * width, start, 2 * block_m, channels)
    _store_joined(lower, feature, k, out, row + 1, rows, 2 * width, start, 2 * block_m, channels)


@kernel
def paint(
    x, weight, feature, k, rgb, bias, below, out, target, height, width, top, row, rows, x_image, feature_image,
    out_image, target_image, has_out: tl.constexpr, channels: tl.constexpr, group: tl.constexpr, block_m: tl.constexpr,
    block_k: tl.constexpr, precision: tl.constexpr,
):  # fmt: skip
    """The second convolution, then as `triton_kernels.paint`; row `top` of x is above the first row of the output."""
    image, y = (tl.program_id(0) // rows).to(tl.int64), tl.program_id(0) % rows
    groups = tl.program_id(1) * block_m + tl.arange(0, block_m)
    n = tl.arange(0, group * channels)
    v = _products(
        x + image * x_image, weight, y + top, height, width, -1, groups, n, 3, group + 2, 2 * channels, group, block_k,
        precision,
    )  # fmt: skip
    column = tl.program_id(1) * (block_m * group) + tl.arange(0, block_m * group)
    c = tl.arange(0, channels)
    inside = column < width
    known = inside[:, None] & (c < channels)[None, :]
    pixel = (y * width + column)[:, None]
    k += image * 6 * channels
    rgb += image * 6 * channels
    f = tl.load(feature + image * feature_image + pixel * channels + c[None, :], mask=known, other=0.0).to(tl.float32)
    v = tl.reshape(v, [block_m * group, channels])
    v = _leaky(v * _row(k, 0, channels, c) + _row(k, 1, channels, c))
    f = _leaky(f * _row(k, 2, channels, c) + _row(k, 3, channels, c))
    if has_out:
        address = out + image * out_image + pixel * (2 * channels) + c[None, :]
        tl.store(address, (v * _row(k, 4, channels, c)).to(out.dtype.element_ty), mask=known)
        tl.store(address + channels, (f * _row(k, 5, channels, c)).to(out.dtype.element_ty), mask=known)
    size = width // 2
    below += image * size * size * 3
    address = target + image * target_image + (y * width + column) * 3
    for colour in tl.static_range(3):
        value = _product(v, f, rgb, colour, channels, c) + tl.load(bias + colour)
        tl.store(address + colour, value + _doubled(below, size, row + y, column, colour, inside), mask=inside)
