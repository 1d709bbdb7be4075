"""Winograd's convolutions of rows of tiles, sixteen channels at a time.

`ring` holds rows of chunks of 16 channels, and within a chunk pixels. In between, values lie kind by kind (a pair of
points), chunk by chunk, and then tile by tile, as `lane_products` wants its pixels.
"""

# pyright: basic, reportCallIssue=false
# (what numba compiles is typed when it is called, and gives an intrinsic one argument more)
from __future__ import annotations

from ..compiled.compiling import compiled
from ..compiled.numba_lanes import add, leaky, load, store
from . import lane_room
from .lane_products import products
from .winograd import KINDS, TILE
from .winograd_points import at_five, at_six, from_five, from_six

SIX, FIVE = 6, 5  # points
NINE = FIVE + TILE  # kinds of samples of a convolution of stride 2: at the points, and every second one itself
apart = compiled(lane_room.apart)


@compiled
def store_all(values, out, at, step):
    for n in range(len(values)):
        store(out, at + n * step, values[n])


@compiled
def evaluate_down(ring, rows, first, step, chunks, width, stride, kinds, columns, at, chunk, kind):
    """`width` columns of pixels, from element `first` of `rows` on, to every kind along the columns.

    Six rows for six kinds. For nine, every `stride`-th of 4 stride + 1 rows goes to the points, and those after the
    first four of them stay as they are; a stride of 1 is that of a transposed convolution. Into `columns`, chunk by
    `chunk` elements, and kind by `kind`.
    """
    for c in range(chunks):
        for w in range(width):
            i, to = first + c * step + 16 * w, at + c * chunk + 16 * w
            if kinds == SIX:
                d0, d1, d2 = load(ring, rows[0] + i), load(ring, rows[1] + i), load(ring, rows[2] + i)
                d3, d4, d5 = load(ring, rows[3] + i), load(ring, rows[4] + i), load(ring, rows[5] + i)
                store_all(at_six(d0, d1, d2, d3, d4, d5), columns, to, kind)
            else:
                d0, d1 = load(ring, rows[0] + i), load(ring, rows[stride] + i)
                d2, d3 = load(ring, rows[2 * stride] + i), load(ring, rows[3 * stride] + i)
                store_all(at_five(d0, d1, d2, d3, load(ring, rows[4 * stride] + i)), columns, to, kind)
                for r in range(TILE):
                    store(columns, to + (FIVE + r) * kind, load(ring, rows[stride * r + 1] + i))


@compiled
def evaluate_along(columns, at, stride, kinds, values, to, kind):
    """A tile's columns, from `at` on, to every kind along its rows."""
    d0, d1 = load(columns, at), load(columns, at + 16 * stride)
    d2, d3 = load(columns, at + 32 * stride), load(columns, at + 48 * stride)
    d4 = load(columns, at + 64 * stride)
    if kinds == SIX:
        store_all(at_six(d0, d1, d2, d3, d4, load(columns, at + 80)), values, to, kind)
    else:
        store_all(at_five(d0, d1, d2, d3, d4), values, to, kind)
        for r in range(TILE):
            store(values, to + (FIVE + r) * kind, load(columns, at + 16 * (stride * r + 1)))


@compiled
def column_steps(rows, across, stride, kinds, chunks):
    """Of so many tiles' columns: pixels that a row of tiles sees, elements from chunk to chunk, from kind to kind."""
    width = TILE * stride * across + (2 if kinds == SIX else 1)
    return width, rows * width * 16, chunks * rows * width * 16 + 16


@compiled
def multiply_tiles(columns, rows, across, stride, kinds, inputs, values, weights, outputs, out):
    """Products of every pair of kinds with the weights of all outputs, of rows times `across` tiles.

    `columns` hold the kinds down, row by row of tiles.
    """
    chunks, tiles = inputs // 16, whole(rows * across)
    width, chunk, down = column_steps(rows, across, stride, kinds, chunks)
    along, apart_out = apart(inputs, tiles), apart(outputs, tiles)
    for y in range(kinds):
        for c in range(chunks):
            for n in range(rows * across):
                at = y * down + c * chunk + (n // across * width + n % across * TILE * stride) * 16
                evaluate_along(columns, at, stride, kinds, values, (c * tiles + n) * 16, along)
        for x in range(kinds):
            weight = min(y, KINDS - 1) * KINDS + min(x, KINDS - 1)
            for o in range(0, outputs, 16):
                at, to = (weight * outputs + o) * inputs, (y * kinds + x) * apart_out + o * tiles
                products(values, x * along, tiles, tiles * 16, chunks, weights, at, out, to)


@compiled
def passes(rows, across, tiles):
    """How many rectangles of at most so many `tiles` cover `rows` of `across`: all at once, or parts of one row."""
    return 1 if rows * across <= tiles else rows * parts_of_row(across, tiles)


@compiled
def parts_of_row(across, tiles):
    step = tiles // 16 * 16  # but for the last part, in which a few more are no loss
    return 1 + (max(0, across - tiles) + step - 1) // step


@compiled
def pass_number(number, rows, across, tiles):
    """Its first row and column, and how many of them there are."""
    if rows * across <= tiles:
        return 0, 0, rows, across
    parts, step = parts_of_row(across, tiles), tiles // 16 * 16
    part = number % parts
    return number // parts, part * step, 1, across - part * step if part == parts - 1 else step


@compiled
def whole(tiles):
    """As many as products come in."""
    return (tiles + 3) // 4 * 4


@compiled
def column_of_five(products, i, step):
    """Four outputs of five kinds, `step` apart."""
    m0, m1, m2 = load(products, i), load(products, i + step), load(products, i + 2 * step)
    return from_five(m0, m1, m2, load(products, i + 3 * step), load(products, i + 4 * step))


@compiled
def interpolate_plain(products, outputs, tile, tiles, count, room, out, to, width):
    """Tiles `tile` and on, `count` of `tiles`, as pixels from `to` on in rows of `width`."""
    kind = apart(outputs, tiles)
    for o in range(0, outputs, 16):
        for t in range(count):
            first = o * tiles + 16 * (tile + t)
            for x in range(SIX):
                i, step = first + x * kind, SIX * kind
                m0, m1, m2 = load(products, i), load(products, i + step), load(products, i + 2 * step)
                i += 3 * step
                m3, m4, m5 = load(products, i), load(products, i + step), load(products, i + 2 * step)
                store_all(from_six(m0, m1, m2, m3, m4, m5), room, 16 * x, 16 * SIX)
            for y in range(TILE):
                i, at = 16 * SIX * y, to + (y * width + TILE * t) * outputs + o
                m0, m1, m2 = load(room, i), load(room, i + 16), load(room, i + 32)
                m3, m4, m5 = load(room, i + 48), load(room, i + 64), load(room, i + 80)
                store_all(from_six(m0, m1, m2, m3, m4, m5), out, at, outputs)


@compiled
def interpolate_strided(products, outputs, tile, tiles, count, room, bias, out, to, width):
    """The same for a convolution of stride 2, with bias and leaky ReLU."""
    kind = apart(outputs, tiles)
    for o in range(0, outputs, 16):
        offset = load(bias, o)
        for t in range(count):
            first = o * tiles + 16 * (tile + t)
            for x in range(NINE):
                i = first + x * kind
                v = column_of_five(products, i, NINE * kind)
                for r in range(TILE):
                    store(room, 16 * (r * NINE + x), add(v[r], load(products, i + (FIVE + r) * NINE * kind)))
            for y in range(TILE):
                i, at = 16 * NINE * y, to + (y * width + TILE * t) * outputs + o
                v = column_of_five(room, i, 16)
                for r in range(TILE):
                    value = add(add(v[r], load(room, i + 16 * (FIVE + r))), offset)
                    store(out, at + r * outputs, leaky(value))


@compiled
def interpolate_transposed(products, outputs, tile, tiles, count, room, out, to, width, first_pixel):
    """The same for a transposed convolution, whose tiles are of 8 x 8 pixels; the last tile of a row may be cut off."""
    kind = apart(outputs, tiles)
    for o in range(0, outputs, 16):
        for t in range(count):
            first = o * tiles + 16 * (tile + t)
            for x in range(NINE):
                i = first + x * kind
                v = column_of_five(products, i, NINE * kind)
                for r in range(TILE):
                    store(room, 16 * (2 * r * NINE + x), v[r])
                    odd = load(products, i + (FIVE + r) * NINE * kind)
                    store(room, 16 * ((2 * r + 1) * NINE + x), odd)
            pixel = first_pixel + 2 * TILE * t
            for y in range(2 * TILE):
                i, at = 16 * NINE * y, to + (y * width + pixel) * outputs + o
                v = column_of_five(room, i, 16)
                for r in range(TILE):
                    if pixel + 2 * r < width:
                        store(out, at + 2 * r * outputs, v[r])
                    if pixel + 2 * r + 1 < width:
                        store(out, at + (2 * r + 1) * outputs, load(room, i + 16 * (FIVE + r)))
