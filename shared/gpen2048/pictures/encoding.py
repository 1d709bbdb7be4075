"""From upright RGB samples to the bytes of an image file with its colour profile, EXIF and resolution."""

from __future__ import annotations

import logging
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import InvalidOptionError, UnsupportedImageError
from .metadata import EXIF_HEADER, PictureMetadata, descriptive_tags, parse_exif
from .png_chunks import chunk

Array = npt.NDArray[Any]

PNG_HEADER_END = 33  # signature and IHDR: colour profile and resolution must follow before the pixels
METRES_PER_INCH = 0.0254
DEFLATE_LEVEL = 3  # on photos smaller than level 4 and three times as fast as the usual 6
LOSSLESS = 100
WHITE = 255
# The highest resolutions: numbers of 31, 32 and 16 bits, PNG's per metre.
PNG_DPI, TIFF_DPI, JPEG_DPI = (2**31 - 1) * METRES_PER_INCH, 2**32 - 1, 2**16 - 1
JPEG_MARKER = 65533  # bytes that one marker segment holds

log = logging.getLogger(__name__)


class ImageFormat(NamedTuple):
    """A format this package writes: Pillow's name of it, the longest side in pixels, whether it keeps 16 bits."""

    name: str
    longest_side: int
    sixteen_bit: bool
    encode: Callable[[Array, PictureMetadata, int], bytes]


def encode_png(samples: Array, metadata: PictureMetadata, quality: int) -> bytes:
    """PNG of (H, W, 3 or 4) uint8 or uint16. By OpenCV, since Pillow has no 16-bit colour; the chunks are ours."""
    import cv2

    metadata = _with_dpi_up_to(PNG_DPI, metadata, "PNG")
    bgr = samples[:, :, [2, 1, 0, 3][: samples.shape[2]]]
    encoded, data = cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, DEFLATE_LEVEL])
    if not encoded:
        raise OSError("OpenCV refused to encode it")
    png = data.tobytes()
    return png[:PNG_HEADER_END] + _png_chunks(metadata) + png[PNG_HEADER_END:]


def _png_chunks(metadata: PictureMetadata) -> bytes:
    chunks = metadata.chunks
    if metadata.icc:
        chunks += chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(metadata.icc))
    if metadata.dpi:
        x, y = (round(dpi / METRES_PER_INCH) for dpi in metadata.dpi)
        chunks += chunk(b"pHYs", struct.pack(">IIB", x, y, 1))  # 1: per metre
    if metadata.exif:
        chunks += chunk(b"eXIf", metadata.exif.removeprefix(EXIF_HEADER))
    return chunks


def encode_tiff(samples: Array, metadata: PictureMetadata, quality: int) -> bytes:
    """TIFF of (H, W, 3 or 4) uint8 or uint16: little endian, one deflated strip of horizontal differences.

    Laid out here since Pillow has no 16-bit colour, and OpenCV no profile. Tags and values are those of TIFF 6.0.
    """
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    differences = samples.astype(f"<u{samples.itemsize}")
    differences[:, 1:] -= samples[:, :-1]  # wraps around, as section 14 has it
    strip = zlib.compress(differences.tobytes(), DEFLATE_LEVEL)
    directory = ImageFileDirectory_v2(prefix=b"II")
    directory.update({**_tiff_carried(metadata), **_tiff_layout(samples), 279: len(strip)})  # StripByteCounts
    tiff = BytesIO()
    directory.save(tiff)
    return tiff.getvalue() + strip


def _tiff_layout(samples: Array) -> dict[int, Any]:
    height, width, channels = samples.shape
    layout = {
        256: width,
        257: height,
        258: (8 * samples.itemsize,) * channels,  # BitsPerSample
        259: 8,  # Compression: deflate
        262: 2,  # PhotometricInterpretation: RGB
        273: 0,  # StripOffsets: Pillow adds where the directory ends
        277: channels,  # SamplesPerPixel
        278: height,  # RowsPerStrip
        284: 1,  # PlanarConfiguration: interleaved
        317: 2,  # Predictor: horizontal differences
    }
    return {**layout, 338: 2} if channels == 4 else layout  # ExtraSamples: alpha, colours not multiplied by it


def _tiff_carried(metadata: PictureMetadata) -> dict[int, Any]:
    metadata = _with_dpi_up_to(TIFF_DPI, metadata, "TIFF")
    exif = metadata.exif
    tags = descriptive_tags(lambda: parse_exif(exif)) if exif else {}
    if metadata.icc:
        tags[34675] = metadata.icc
    if metadata.dpi:
        tags[282], tags[283] = metadata.dpi
        tags[296] = 2  # ResolutionUnit: inch
    return tags


def encode_jpeg(samples: Array, metadata: PictureMetadata, quality: int) -> bytes:
    """JPEG of (H, W, 3 or 4) uint8 at full colour resolution; transparency shows white, as in a browser."""
    if samples.shape[2] == 4:
        samples = _over_white(samples)
    if metadata.exif and len(metadata.exif) > JPEG_MARKER:
        log.warning("the EXIF block of %d bytes does not fit into a JPEG and is left out", len(metadata.exif))
        metadata = replace(metadata, exif=None)
    metadata = _with_dpi_up_to(JPEG_DPI, metadata, "JPEG")
    return _encode_by_pillow(samples, metadata, "JPEG", quality=quality, subsampling=0)


def _with_dpi_up_to(highest: float, metadata: PictureMetadata, name: str) -> PictureMetadata:
    """`metadata`, without a resolution that the format `name` cannot tell."""
    if metadata.dpi is None or max(metadata.dpi) <= highest:
        return metadata
    log.warning("a resolution of %g dpi does not fit into a %s and is left out", max(metadata.dpi), name)
    return replace(metadata, dpi=None)


def _over_white(rgba: Array) -> Array:
    alpha = rgba[:, :, 3:].astype(np.float32) / WHITE
    return np.rint(rgba[:, :, :3] * alpha + WHITE * (1 - alpha)).astype(np.uint8)


def encode_webp(samples: Array, metadata: PictureMetadata, quality: int) -> bytes:
    """WebP of (H, W, 3 or 4) uint8, without any loss at quality 100."""
    return _encode_by_pillow(samples, metadata, "WEBP", quality=quality, lossless=quality == LOSSLESS, exact=True)


def _encode_by_pillow(samples: Array, metadata: PictureMetadata, name: str, **options: Any) -> bytes:
    from PIL import Image

    carried = {"icc_profile": metadata.icc, "exif": metadata.exif, "dpi": metadata.dpi}
    options.update({key: value for key, value in carried.items() if value})
    file = BytesIO()
    Image.fromarray(np.ascontiguousarray(samples)).save(file, name, **options)
    return file.getvalue()


PNG = ImageFormat("PNG", 1_000_000, True, encode_png)  # libpng's limit
JPEG = ImageFormat("JPEG", 65_500, False, encode_jpeg)  # libjpeg's limit
WEBP = ImageFormat("WebP", 16_383, False, encode_webp)  # of the format: 14 bits
TIFF = ImageFormat("TIFF", 1_000_000, True, encode_tiff)
FORMATS = {".png": PNG, ".jpg": JPEG, ".jpeg": JPEG, ".webp": WEBP, ".tif": TIFF, ".tiff": TIFF}


def check_quality(quality: int) -> None:
    """Raises InvalidOptionError for what is no quality of a JPEG or WebP."""
    if not 1 <= quality <= LOSSLESS:
        raise InvalidOptionError(f"quality is {quality}; wanted 1 to {LOSSLESS}")


def output_format(suffix: str) -> ImageFormat:
    """The format for a file name's suffix, in any case. Raises UnsupportedImageError listing those it knows."""
    known = FORMATS.get(suffix.lower())
    if known is None:
        raise UnsupportedImageError(f"cannot write {suffix or 'a file without suffix'!r}; wanted {', '.join(FORMATS)}")
    return known
