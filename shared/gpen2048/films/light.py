"""What an HDR film says of its light: the display it was mastered on, and its brightest pixels and frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .frames import side_data

# Units of H.265's messages (ITU-T H.265, D.3.28), which encoders take the display in.
CHROMATICITY, LUMINANCE = 50000, 10000
DISPLAY, CONTENT = "MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"  # of PyAV's side data
NAMES = {"libx265": ("master-display", "max-cll"), "libx264": ("mastering-display", "cll")}


@dataclass(frozen=True)
class Light:
    """In the words of x264 and x265, "" where a film does not tell."""

    display: str = ""
    content: str = ""

    @classmethod
    def of(cls, frame: Any) -> Light:
        """That of PyAV's `frame`."""
        return cls(_display(side_data(frame, DISPLAY)), _content(side_data(frame, CONTENT)))

    def parameters(self, encoder: str) -> list[str]:
        """What `encoder` is to be told; nothing where it knows no such words."""
        values = zip(NAMES.get(encoder, ()), (self.display, self.content))
        return [f"{name}={value}" for name, value in values if value]


def _display(data: bytes | None) -> str:
    """FFmpeg's AVMasteringDisplayMetadata (libavutil/mastering_display_metadata.h): ten fractions and two flags.

    Red, green, blue and white, each x and y, then the least and the greatest luminance in candela per square metre.
    """
    if data is None or len(data) < 88:
        return ""
    numbers = np.frombuffer(data[:88], np.int32)
    fractions, flags = numbers[:20].reshape(10, 2).astype(float), numbers[20:]
    if not (flags.all() and fractions[:, 1].all()):
        return ""
    values = fractions[:, 0] / fractions[:, 1]
    red, green, blue, white = np.rint(values[:8] * CHROMATICITY).astype(int).reshape(4, 2).tolist()
    least, greatest = np.rint(values[8:] * LUMINANCE).astype(int).tolist()
    points = {"G": green, "B": blue, "R": red, "WP": white, "L": (greatest, least)}
    return "".join(f"{name}({first},{second})" for name, (first, second) in points.items())


def _content(data: bytes | None) -> str:
    """FFmpeg's AVContentLightMetadata: the brightest pixel and the brightest frame, candela per square metre."""
    if data is None or len(data) < 8:
        return ""
    pixel, frame = np.frombuffer(data[:8], np.uint32).tolist()
    return f"{pixel},{frame}"
