"""What an image file says about its pixels and carries along with them: bit depth, colour profile, EXIF, resolution."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

EXIF_HEADER = b"Exif\0\0"
ORIENTATION = 0x0112
SUB_DIRECTORIES = (0x8769, 0x8825)  # EXIF proper and GPS, both hanging below the main directory
# Description, make, model, software, date, artist, copyright: those TIFF tags that don't tell how pixels are stored.
DESCRIPTIVE_TAGS = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298, *SUB_DIRECTORIES)
PROFILE_SPACE = slice(16, 20)  # where an ICC profile's header names the colour space it describes (ICC.1, 7.2)
RGB_SPACE = b"RGB "


@dataclass(frozen=True)
class PictureMetadata:
    """Everything of an image file but its pixels.

    `bit_depth` is 8 or 16 per sample, `icc` is a profile for RGB samples, `exif` begins with "Exif" and two zeros and
    says that the picture is upright, without a thumbnail, `dpi` is (x, y), `format` is Pillow's name of the file
    format, `chunks` are those of a PNG for another one, `frames` says how many pictures the file holds, of which this
    is the first.
    """

    bit_depth: int = 8
    icc: bytes | None = field(default=None, repr=False)
    exif: bytes | None = field(default=None, repr=False)
    dpi: tuple[float, float] | None = None
    format: str | None = None
    chunks: bytes = field(default=b"", repr=False)
    frames: int = 1


def profile_space(image: Image.Image) -> bytes | None:
    """The colour space that the image's ICC profile is for, such as b"RGB " or b"CMYK"; None without a profile."""
    icc = image.info.get("icc_profile")
    return icc[PROFILE_SPACE] if icc else None


def read_metadata(image: Image.Image, *, bit_depth: int) -> PictureMetadata:
    """Metadata of a Pillow image that has been loaded."""
    keeps_profile = profile_space(image) == RGB_SPACE and image.mode != "CMYK"
    return PictureMetadata(
        bit_depth=bit_depth,
        icc=image.info["icc_profile"] if keeps_profile else None,
        exif=_read_exif(image),
        dpi=_read_dpi(image.info.get("dpi")),
        format=image.format,
    )


def _read_dpi(dpi: Any) -> tuple[float, float] | None:
    try:
        x, y = (float(value) for value in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (x, y) if 1 < x < math.inf and 1 < y < math.inf else None  # Pillow says 1 where a TIFF says nothing


def _read_exif(image: Image.Image) -> bytes | None:
    if image.info.get("exif"):
        return upright_exif(image.info["exif"])
    return _exif_bytes(descriptive_tags(image.getexif))  # TIFF keeps EXIF among the tags that describe its pixels


def read_orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 if there is none or it is damaged."""
    try:
        orientation: int = image.getexif().get(ORIENTATION, 1)
    except Exception:  # as in descriptive_tags
        return 1
    return orientation


def upright_exif(exif: bytes) -> bytes | None:
    """The same EXIF block saying orientation 1, and not where the thumbnail is, which shows the photo as it was.

    Everything else byte for byte; None if its structure is broken. Patched in place: rebuilding would move maker notes,
    whose inner offsets nobody knows.
    """
    block = bytearray(exif.removeprefix(EXIF_HEADER))
    order = {b"II": "<", b"MM": ">"}.get(bytes(block[:2]))
    if order is None:
        return None
    try:
        (directory,) = struct.unpack_from(f"{order}I", block, 4)
        (count,) = struct.unpack_from(f"{order}H", block, directory)
        for entry in range(directory + 2, directory + 2 + 12 * count, 12):
            if struct.unpack_from(f"{order}H", block, entry) == (ORIENTATION,):
                struct.pack_into(f"{order}HHIHH", block, entry, ORIENTATION, 3, 1, 1, 0)  # one unsigned short: 1
        end = directory + 2 + 12 * count
        block[end : end + 4] = bytes(len(block[end : end + 4]))  # of the next directory, which is the thumbnail's
    except struct.error:
        return None
    return EXIF_HEADER + block


def descriptive_tags(load_exif: Callable[[], Image.Exif]) -> dict[int, Any]:
    """Those tags of the EXIF loaded that hold for any copy of the picture; none if they are damaged."""
    try:
        exif = load_exif()
        tags = {tag: exif.get_ifd(tag) if tag in SUB_DIRECTORIES else exif.get(tag) for tag in DESCRIPTIVE_TAGS}
        tags = {tag: value for tag, value in tags.items() if value}
        _exif_bytes(tags)  # what can be read cannot always be written
    except Exception:  # Pillow raises whatever a camera's bytes lead it to; the photo matters more
        return {}
    return tags


def parse_exif(exif: bytes) -> Image.Exif:
    """Pillow's view of an EXIF block. Raises nearly anything if it is damaged."""
    from PIL import Image

    parsed = Image.Exif()
    parsed.load(exif)
    return parsed


def _exif_bytes(tags: dict[int, Any]) -> bytes | None:
    from PIL import Image

    exif = Image.Exif()
    exif.update(tags)
    return exif.tobytes() if tags else None
