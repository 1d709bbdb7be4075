"""Between a film's frames, as PyAV has them, and float32 RGB: colour matrix, range and depth in one hand.

Everything of PyAV is Any here and in the other modules of `films`, since it is an optional package.
"""

from __future__ import annotations

import importlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import UnsupportedFilmError
from ..samples import to_planes, to_samples

# FFmpeg's numbers (libswscale/swscale.h): with these flags the lightness of 8-bit video comes back bit for bit, where
# the default ones are off by 1 in 255.
_BICUBIC, _FULL_CHROMA, _ACCURATE = 4, 0x2000, 0x40000
CONVERSION = _BICUBIC | _FULL_CHROMA | _ACCURATE
# FFmpeg's AVColorSpace (libavutil/pixfmt.h), the same as ITU-T H.273.
RGB, BT709, UNSPECIFIED, BT601 = 0, 1, 2, 6
RESERVED = 3  # a number without a meaning, which players pass over
CONVERTED = (RGB, BT709, UNSPECIFIED, 4, 5, BT601, 7, 9)  # the matrices that libswscale knows
UNSPECIFIED_RANGE, LIMITED_RANGE, FULL_RANGE = 0, 1, 2  # AVColorRange; limited: lightness from 16 to 235
HIGHEST_SD = 576  # rows; an untagged film with more is taken for BT.709, as players do


@cache
def pyav() -> Any:
    """The package av; UnsupportedFilmError says how to get it.

    Kept: an import takes a lock, which Python 3.10 loses hold of when garbage is collected in that very moment.
    """
    try:
        av = importlib.import_module("av")
    except ImportError as error:
        raise UnsupportedFilmError('films need PyAV (the package av), which the extra "film" brings') from error
    # PyAV's own callback asks for the interpreter's lock from a decoder's threads, which closing a film waits for
    # while it holds that lock: with some damaged or cut films both would wait for ever.
    av.logging.restore_default_callback()
    av.logging.set_libav_level(av.logging.FATAL)
    return av


def opened(path: Path, mode: str = "r", **how: Any) -> Any:
    """PyAV's container in a file, in words that FFmpeg takes for one, and not the 12 of 12:30.mp4 for a protocol.

    Titles in other letters than UTF-8, as old films have them, are kept byte by byte.
    """
    return pyav().open(str(path.absolute()), mode, metadata_errors="surrogateescape", **how)


@dataclass(frozen=True)
class FilmFrame:
    """One picture of a film: `pixels` (3, H, W) float32 RGB in [0, 1], upright; shown from time `pts`.

    `pts` and `duration` (0 where unknown) count the film's `time_base`.
    """

    pixels: Tensor
    pts: int
    duration: int = 0


Shown = deque[tuple[int, int]]  # when frames that are under way are shown, and how long


def noted(frames: Iterator[FilmFrame], shown: Shown) -> Iterator[Tensor]:
    """The pixels of `frames`; when and how long they are shown goes into `shown`."""
    for frame in frames:
        shown.append((frame.pts, frame.duration))
        yield frame.pixels


@dataclass(frozen=True)
class Coding:
    """How a film stores colours: FFmpeg's pixel format, and its numbers of matrix, primaries, transfer and range."""

    pixel_format: str = "yuv420p"
    bits: int = 8
    matrix: int = UNSPECIFIED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    range: int = LIMITED_RANGE

    @classmethod
    def of(cls, frame: Any, decoder: Any) -> Coding:
        """That of a frame, and of the decoder it came from."""
        bits = max(component.bits for component in frame.format.components)
        full = frame.color_range == FULL_RANGE or frame.format.name.startswith("yuvj")
        full = full or (frame.color_range == UNSPECIFIED_RANGE and _is_grey(frame.format))
        return cls(
            pixel_format=frame.format.name.replace("yuvj", "yuv"),
            bits=bits,
            matrix=_matrix(frame),
            primaries=int(decoder.color_primaries),
            transfer=int(decoder.color_trc),
            range=FULL_RANGE if full else LIMITED_RANGE,
        )

    def matrix_for(self, height: int) -> int:
        """The matrix between RGB and the stored values, guessed where the film does not tell."""
        guess = BT601 if height <= HIGHEST_SD else BT709
        return guess if self.matrix in (RGB, UNSPECIFIED) else self.matrix


def _matrix(frame: Any) -> int:
    """What a frame says; grey, palettes and RGB have no use for it, and may say what cannot be converted."""
    matrix = int(frame.colorspace)
    is_yuv = len(frame.format.components) >= 3 and not frame.format.is_rgb
    return matrix if matrix in CONVERTED or (is_yuv and matrix != RESERVED) else UNSPECIFIED


def _is_grey(form: Any) -> bool:
    """Whether there is lightness alone: from 0 to 255, as FFmpeg reads and writes it where nothing else is said."""
    return not form.has_palette and sum(not component.is_alpha for component in form.components) == 1


def decoded(frame: Any, coding: Coding, device: torch.device) -> Tensor:
    """The pixels (3, H, W) of PyAV's `frame` on `device`, turned upright and the right way round as it is displayed."""
    stored = _unlocated(frame)
    stored.colorspace = coding.matrix_for(frame.height) if coding.matrix == UNSPECIFIED else frame.colorspace
    ranged = {} if coding.range == LIMITED_RANGE else {"src_color_range": coding.range}  # older PyAV passes it over
    samples = stored.to_ndarray(format=_format(coding), interpolation=CONVERSION, **ranged)
    planes = to_planes(samples, device)
    planes = planes.flip(1) if is_mirrored(frame) else planes
    return torch.rot90(planes, quarter_turns(frame), (1, 2)).contiguous()


def _unlocated(frame: Any) -> Any:
    """`frame` without what it says of where its chroma samples lie.

    PyAV cannot say so of the frames that are written, and FFmpeg 8 heeds it: read where they lie and written as if in
    the middle, they would move by a quarter of a sample each time a film is written.
    """
    planes = list(frame.planes)
    if len(planes) < 2 or any(plane.line_size <= 0 for plane in planes):
        return frame
    copy = pyav().VideoFrame(frame.width, frame.height, frame.format.name)
    for to, of in zip(copy.planes, planes):
        rows = np.zeros((to.height, to.line_size), np.uint8)
        length = min(to.line_size, of.line_size)
        rows[:, :length] = np.frombuffer(of, np.uint8)[: of.height * of.line_size].reshape(of.height, -1)[:, :length]
        to.update(rows)
    copy.color_range = frame.color_range
    return copy


def encoded(pixels: Tensor, coding: Coding, pts: int, duration: int, time_base: Fraction) -> Any:
    """PyAV's frame with `pixels` (3, H, W) in [0, 1], stored as `coding` says, shown at `pts` for `duration`."""
    samples = to_samples(pixels, 8 if coding.bits <= 8 else 16)
    frame = pyav().VideoFrame.from_ndarray(samples, format=_format(coding))
    frame.colorspace = coding.matrix_for(frame.height)
    frame = frame.reformat(format=coding.pixel_format, interpolation=CONVERSION, dst_color_range=coding.range)
    frame.pts, frame.time_base = pts, time_base
    if duration:
        frame.duration = duration
    return frame


def _format(coding: Coding) -> str:
    return "rgb24" if coding.bits <= 8 else "rgb48le"


def quarter_turns(frame: Any) -> int:
    """Turns of 90 degrees counterclockwise that put `frame` upright, when what `is_mirrored` has been turned over."""
    return round(frame.rotation / 90) % 4


def is_mirrored(frame: Any) -> bool:
    """Whether the rows of `frame` are to be put upside down: its display matrix [a b u; c d v; x y w] turns it over.

    FFmpeg takes its rotation from where the matrix puts the x axis, and leaves open on which side of that y is.
    """
    matrix = side_data(frame, "DISPLAYMATRIX")
    if matrix is None:
        return False
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].astype(float)
    return bool(a * d < b * c)


def side_data(frame: Any, name: str) -> bytes | None:
    """What PyAV's `frame` brings beside its pixels under that name of FFmpeg's."""
    known = [frame.side_data[n] for n in range(len(frame.side_data))]  # what it is a list of has changed with PyAV 19
    return next((bytes(data) for data in known if data.type.name == name), None)


def has_alpha(pixel_format: str) -> bool:
    """Whether FFmpeg's format of that name has transparency."""
    return any(component.is_alpha for component in pyav().VideoFormat(pixel_format).components)


def fraction(value: Any) -> Fraction | None:
    """A rational number of PyAV's as Python's; None for none and for 0."""
    return Fraction(int(value.numerator), int(value.denominator)) if value else None
