"""From the bytes of an image file to upright RGB samples, 8 or 16 bits each."""

from __future__ import annotations

import logging
import warnings
from dataclasses import replace
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import UnsupportedImageError, is_out_of_memory
from .grey_profile import to_srgb
from .metadata import PictureMetadata, profile_space, read_metadata, read_orientation
from .png_chunks import kept_chunks

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 178_956_970  # Pillow's own limit, beyond which it suspects a decompression bomb; here whatever a host sets
SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".tif", ".tiff", ".bmp")
KINDS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "AVIF")  # as Pillow calls those of the suffixes
WANTED = "a PNG, JPEG, WebP, TIFF or another picture that Pillow reads"
DEEPEST_16 = 65535
ALPHA_MODES = ("RGBA", "LA", "PA", "RGBa", "La")
PNG_BIT_DEPTH, PNG_COLOUR_TYPE = 24, 25  # positions in a PNG file
GREY_SPACE = b"GRAY"  # as an ICC profile's header has it
PNG_GREY = (0, 4)  # colour types without and with alpha
BITS_PER_SAMPLE, PHOTOMETRIC, PLANAR, EXTRA_SAMPLES, SAMPLE_FORMAT = 258, 262, 284, 338, 339  # TIFF tags
WHITE_IS_ZERO = 0
ASSOCIATED_ALPHA = (1,)

Samples = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

log = logging.getLogger(__name__)


@cache
def readable_suffixes() -> tuple[str, ...]:
    """How the names of pictures in folders end, in small letters; AVIF is among them where this Pillow reads it."""
    from PIL import Image

    return (*SUFFIXES, ".avif") if ".avif" in Image.registered_extensions() else SUFFIXES


def decode(data: bytes, name: str = "a picture") -> tuple[Samples, PictureMetadata]:
    """Samples (H, W, 3 RGB or 4 RGBA) uint8 or uint16, upright, and the metadata.

    Of several frames or pages the first is taken, with a warning in the log that names it `name`.
    Raises UnsupportedImageError saying what was found and what was wanted.
    """
    if not data:
        raise UnsupportedImageError(f"the file is empty; wanted {WANTED}")
    image = _open(data)
    try:
        image.load()  # a PNG may bring its EXIF after the pixels
        samples, metadata = _decode(data, image)
        if metadata.frames > 1:
            log.warning("%s: only the first of %d frames or pages is used", name, metadata.frames)
        return samples, metadata
    except UnsupportedImageError:
        raise
    except Exception as error:  # a broken file makes decoders raise nearly anything
        if is_out_of_memory(error):
            raise
        raise UnsupportedImageError(f"{image.format}, but damaged or cut off ({error}); wanted a whole file") from error


def _open(data: bytes) -> Image.Image:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(BytesIO(data))
    except Image.DecompressionBombError as error:
        raise UnsupportedImageError(f"{error} Wanted at most {MAX_PIXELS:,} pixels") from error
    except Exception as error:
        begun = _begun(data)
        if begun:
            seen = f"{begun}, but damaged, cut off or of a kind that Pillow does not read"
            raise UnsupportedImageError(f"{seen}; wanted another file") from error
        raise UnsupportedImageError(f"not a picture (it begins with {data[:8]!r}); wanted {WANTED}") from error
    if image.width * image.height > MAX_PIXELS:
        raise UnsupportedImageError(f"{image.width} x {image.height} pixels; wanted at most {MAX_PIXELS:,} in all")
    return image


def _begun(data: bytes) -> str:
    """The format that the first bytes are of, though Pillow cannot read on; "" for none of KINDS."""
    from PIL import Image

    known: dict[str, Any] = {name: Image.OPEN[name][1] for name in KINDS if name in Image.OPEN}
    return next((name for name, begins in known.items() if begins(data[:16]) is True), "")


def _decode(data: bytes, image: Image.Image) -> tuple[Samples, PictureMetadata]:
    bit_depth = _bit_depth(data, image)
    metadata = read_metadata(image, bit_depth=bit_depth)
    if image.format == "PNG":
        metadata = replace(metadata, chunks=kept_chunks(data))
        _spread_transparency(image, data[PNG_BIT_DEPTH])
    if image.format != "MPO":  # a phone's is one photo and its by-products
        metadata = replace(metadata, frames=int(getattr(image, "n_frames", 1)))
    samples = _decode_8_bit(image) if bit_depth == 8 else _decode_16_bit(data, image)
    if image.format != "TIFF":  # both Pillow and OpenCV turn TIFF upright themselves
        samples = _turn_upright(samples, read_orientation(image))
    return samples, metadata


def _bit_depth(data: bytes, image: Image.Image) -> int:
    if image.format == "PNG":
        return 16 if data[PNG_BIT_DEPTH] == 16 else 8
    tags: Any = getattr(image, "tag_v2", {})
    if tags.get(BITS_PER_SAMPLE, (8,))[0] == 16 and image.mode != "CMYK" and tags.get(SAMPLE_FORMAT, (1,))[0] == 1:
        return 16
    if image.mode[0] in "IF" or image.mode == "LAB":  # Pillow clips the former to 255 and has no way from the latter
        raise UnsupportedImageError(f"{image.format} samples of kind {image.mode}; wanted RGB or grey, 8 or 16 bits")
    return 8


def _is_grey(data: bytes, image: Image.Image) -> bool:
    if image.format == "PNG":
        return data[PNG_COLOUR_TYPE] in PNG_GREY
    return image.mode[0] in "1LI"


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ALPHA_MODES or "transparency" in image.info


def _spread_transparency(image: Image.Image, bits: int) -> None:
    """The grey that is transparent, in the 8 bits to which Pillow brings those of fewer bits, but not always this."""
    transparent = image.info.get("transparency")
    if image.mode in ("1", "L") and bits < 8 and isinstance(transparent, int) and transparent < 2**bits:
        image.info["transparency"] = transparent * 255 // (2**bits - 1)


def _decode_8_bit(image: Image.Image) -> npt.NDArray[np.uint8]:
    converted = _through_profile(image)
    if not _has_alpha(image):
        return np.array(image.convert("RGB") if converted is None else converted)
    rgba = np.array(image.convert("RGBA"))
    if converted is not None:
        rgba[:, :, :3] = np.array(converted)
    return rgba


def _through_profile(image: Image.Image) -> Image.Image | None:
    """CMYK or grey converted to sRGB as its profile says; None if the profile is for RGB, missing or damaged."""
    from PIL import ImageCms

    mode = {b"CMYK": "CMYK", GREY_SPACE: "L"}.get(profile_space(image) or b"")
    if mode is None or image.mode[0] != mode[0]:
        return None
    cms: Any = ImageCms  # its profiles are untyped
    try:
        profile = cms.ImageCmsProfile(BytesIO(image.info["icc_profile"]))
        return cms.profileToProfile(image.convert(mode), profile, cms.createProfile("sRGB"), outputMode="RGB")
    except (OSError, ImageCms.PyCMSError):
        return None


def _decode_16_bit(data: bytes, image: Image.Image) -> npt.NDArray[np.uint16]:
    samples = _read_16_bit(data, image)
    has_curve = _is_grey(data, image) and profile_space(image) == GREY_SPACE
    return to_srgb(samples, image.info["icc_profile"]) if has_curve else samples


def _read_16_bit(data: bytes, image: Image.Image) -> npt.NDArray[np.uint16]:
    import cv2

    tags: Any = getattr(image, "tag_v2", {})
    if tags.get(PLANAR, 1) != 1:  # OpenCV returns scrambled pixels
        raise UnsupportedImageError("a 16-bit TIFF with one plane per colour; wanted interleaved (chunky) samples")
    decoded: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype != np.uint16:
        raise UnsupportedImageError(f"a 16-bit {image.format} that OpenCV cannot decode; wanted RGB or grey samples")
    if decoded.ndim == 2:
        inverted = tags.get(PHOTOMETRIC) == WHITE_IS_ZERO
        return _grey_to_rgb(DEEPEST_16 - decoded if inverted else decoded, image.info.get("transparency"))
    if not _has_alpha(image):
        return decoded[:, :, 2::-1]
    rgba = decoded[:, :, [2, 1, 0, 3]]
    return _unassociate(rgba) if tags.get(EXTRA_SAMPLES) == ASSOCIATED_ALPHA else rgba


def _grey_to_rgb(grey: npt.NDArray[np.uint16], transparent: int | None) -> npt.NDArray[np.uint16]:
    """Three equal channels, and alpha 0 where the value is the one declared `transparent`."""
    if transparent is None:
        return np.dstack((grey, grey, grey))
    return np.dstack((grey, grey, grey, np.where(grey == transparent, 0, DEEPEST_16).astype(np.uint16)))


def _unassociate(rgba: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint16]:
    """Divides by alpha the colours that a TIFF stores multiplied by it."""
    alpha = np.maximum(rgba[:, :, 3:], 1).astype(np.float64)
    colour = np.minimum(np.rint(rgba[:, :, :3] * (DEEPEST_16 / alpha)), DEEPEST_16)
    return np.dstack((colour.astype(np.uint16), rgba[:, :, 3]))


def _turn_upright(samples: Any, orientation: int) -> Any:
    """Undoes the EXIF orientation (EXIF 2.32, tag 0x0112): 5 to 8 swap the axes, then each is one of four flips."""
    if orientation in (5, 6, 7, 8):
        samples = samples.swapaxes(0, 1)
    down = -1 if orientation in (3, 4, 7, 8) else 1
    right = -1 if orientation in (2, 3, 6, 7) else 1
    return samples[::down, ::right]
