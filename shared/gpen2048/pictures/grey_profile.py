"""Grey of 16 bits to sRGB, by the curve of its ICC profile; LittleCMS as Pillow has it does that for 8 bits only.

Names and numbers are those of ICC.1:2010 and, for sRGB, IEC 61966-2-1.
"""

from __future__ import annotations

import logging
import struct

import numpy as np
from numpy.typing import NDArray

VALUES = 65536
CONNECTION_SPACE = slice(20, 24)  # where the header names the space that colours are turned into
TAG_TABLE = 128
CURVE_BODY = 12  # bytes that a curve's numbers come after
PARAMETERS = (1, 3, 4, 5, 7)  # of each function that "para" may be
FIXED = 65536  # to 1, in s15Fixed16Number

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]


def to_srgb(samples: NDArray[np.uint16], icc: bytes) -> NDArray[np.uint16]:
    """Grey samples (H, W, 3 and maybe alpha) with the profile `icc` in sRGB; as they are where it cannot be read."""
    table = srgb_table(icc)
    if table is None:
        log.warning("the colour profile for grey has no curve that can be read, and is left out")
        return samples
    return np.concatenate((table[samples[..., :3]], samples[..., 3:]), axis=2)


def srgb_table(icc: bytes) -> NDArray[np.uint16] | None:
    """What each value of grey is in sRGB, both 0 to 65535; None where the profile's curve is missing or damaged."""
    try:
        curve = _curve(icc)
        light = None if curve is None else _light(np.linspace(0, 1, VALUES), curve)
    except (struct.error, ValueError, IndexError, ZeroDivisionError):
        return None
    if light is None or not bool(np.isfinite(light).all()):
        return None
    return np.rint(_encoded(light.clip(0, 1)) * (VALUES - 1)).astype(np.uint16)


def _curve(icc: bytes) -> bytes | None:
    """The content of the tag kTRC of a profile that turns grey into XYZ."""
    if icc[CONNECTION_SPACE] != b"XYZ ":
        return None
    (count,) = struct.unpack_from(">I", icc, TAG_TABLE)
    for number in range(count):
        name, start, length = struct.unpack_from(">4sII", icc, TAG_TABLE + 4 + 12 * number)
        if name == b"kTRC":
            return icc[start : start + length]
    return None


def _light(grey: Floats, curve: bytes) -> Floats | None:
    """The light, black 0 and white 1, that `grey` from 0 to 1 stands for."""
    if curve[:4] == b"para":
        (kind,) = struct.unpack_from(">H", curve, 8)
        fixed = struct.unpack_from(f">{PARAMETERS[kind]}i", curve, CURVE_BODY)
        with np.errstate(all="ignore"):  # what is no number is refused
            return _parametric(grey, kind, *(value / FIXED for value in fixed))
    if curve[:4] != b"curv":
        return None
    (count,) = struct.unpack_from(">I", curve, 8)
    if count == 0:
        return grey
    points = struct.unpack_from(f">{count}H", curve, CURVE_BODY)
    if count == 1:
        return grey ** (points[0] / 256)
    return np.interp(grey, np.linspace(0, 1, count), np.array(points) / (VALUES - 1))


def _parametric(
    x: Floats,
    kind: int,
    g: float,
    a: float = 1.0,
    b: float = 0.0,
    c: float = 0.0,
    d: float = 0.0,
    e: float = 0.0,
    f: float = 0.0,
) -> Floats:
    """(a x + b)^g + e from d on, c x + f below; the first kinds have no d, and the third calls both offsets c."""
    if kind == 2:
        c, e, f = 0.0, c, c
    if kind in (1, 2):
        d = -b / a
    return np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f)


def _encoded(light: Floats) -> Floats:
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
