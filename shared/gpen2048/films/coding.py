"""Which of an encoder's pixel formats holds what a film has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from .frames import RGB, UNSPECIFIED, Coding, pyav

LOSSLESS = "ffv1"  # an encoder; the others store RGB as YUV, which takes less and which all players know
BLOCK = 16  # px of which a format tells how many chroma samples there are


def storable(coding: Coding, encoder: str, height: int, width: int) -> Coding:
    """`coding`, or the nearest that `encoder` has; odd sides cannot be stored with fewer chroma samples."""
    odd = is_odd(height, width)
    known: list[Any] = pyav().Codec(encoder, "w").video_formats or []
    formats = [pixel_format.name for pixel_format in known]
    name = coding.pixel_format.replace("yuva", "yuv")
    if name not in formats or (odd and is_subsampled(name)):
        name = next(near for near in _nearest(name, coding.bits, encoder, odd) if near in formats)
    rgb_no_more = name.startswith("yuv") and coding.matrix == RGB
    return replace(coding, pixel_format=name, matrix=coding.matrix_for(height) if rgb_no_more else coding.matrix)


def is_odd(height: int, width: int) -> bool:
    return bool(height % 2 or width % 2)


def is_subsampled(name: str) -> bool:
    """Whether FFmpeg's pixel format `name` has fewer samples of chroma than of lightness."""
    return _chroma(name) != (BLOCK, BLOCK)


def colour_tags(coding: Coding) -> dict[str, int]:
    """PyAV's names of what `coding` says about colours, as far as it does."""
    tags = {"colorspace": coding.matrix, "color_primaries": coding.primaries, "color_trc": coding.transfer}
    return {name: value for name, value in tags.items() if value != UNSPECIFIED}


def _nearest(name: str, bits: int, encoder: str, odd: bool) -> Iterator[str]:
    """Formats that hold as much as `name` as may be, the nearest first; every encoder has the last one."""
    deep = "10le" if bits > 8 else ""
    pixel_format = pyav().VideoFormat(name)
    if (pixel_format.is_rgb or pixel_format.has_palette) and encoder == LOSSLESS:
        yield from (f"gbrp{bits}le", "gbrp16le") if deep else ("gbrp", "bgr0")
    if len(pixel_format.components) < 3 and not pixel_format.has_palette:
        yield f"gray{deep}"
    width, height = _chroma(name)
    full = odd or width == BLOCK
    yield f"yuv{'444' if full else '422' if height == BLOCK else '420'}p{deep}"


def _chroma(name: str) -> tuple[int, int]:
    """Columns and rows of chroma samples in a square of BLOCK px."""
    pixel_format = pyav().VideoFormat(name)
    return int(pixel_format.chroma_width(BLOCK)), int(pixel_format.chroma_height(BLOCK))
