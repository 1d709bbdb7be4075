"""Pictures in files and arrays, and the one form in which the runtime knows them.

Height x width x channels, 8 and 16 bits, BGR, alpha, grey, palettes, EXIF rotation and colour profiles exist here and
in `pictures`; everywhere else an image is float32 RGB in [0, 1], shape (3, H, W).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import UnsupportedImageError
from .pictures.decoding import decode, readable_suffixes
from .pictures.encoding import FORMATS, check_quality, output_format
from .pictures.metadata import PictureMetadata
from .replacing import replacing
from .samples import CPU, to_planes, to_samples

__all__ = [
    "FORMATS",
    "Picture",
    "PictureMetadata",
    "check_quality",
    "decode_image",
    "encode_image",
    "output_format",
    "picture_from_array",
    "picture_to_array",
    "read_image",
    "readable_suffixes",
    "write_image",
]

QUALITY = 95  # of JPEG and WebP: differences stay below what one sees enlarged


@dataclass(frozen=True)
class Picture:
    """A photo as the runtime sees it.

    `pixels` (3, H, W) float32 RGB in [0, 1], upright, in the colour space of `metadata.icc` (sRGB if None); `alpha`
    (H, W) float32 in [0, 1], or None where all is opaque. Both on any device; files are read onto the CPU if none is
    named.
    """

    pixels: Tensor
    alpha: Tensor | None = None
    metadata: PictureMetadata = field(default_factory=PictureMetadata)

    def with_pixels(self, pixels: Tensor) -> Picture:
        """This picture showing `pixels` (3, H', W') instead; alpha is resized to them, bilinear."""
        alpha, size = self.alpha, pixels.shape[1:]
        if alpha is not None and alpha.shape != size:
            alpha = F.interpolate(alpha[None, None], list(size), mode="bilinear", align_corners=False)[0, 0]
        return replace(self, pixels=pixels, alpha=alpha)


def read_image(path: str | PathLike[str], device: torch.device = CPU) -> Picture:
    """The picture in a file of any format that Pillow reads, on `device`; 16-bit PNG and TIFF keep their 16 bits.

    An ICC profile for RGB is kept and the samples stay as they are; CMYK and grey with a profile of their own become
    sRGB. EXIF rotation is applied. Of several frames or pages the first is taken, with a warning in the log.
    Raises UnsupportedImageError naming the file, what was found and what was wanted (a folder, a pipe, empty, no
    picture, damaged, over 178,956,970 pixels, kinds of samples without use here); OSError where the file cannot be
    opened.
    """
    path = Path(path)
    if path.is_dir():
        raise UnsupportedImageError(f"{path}: a folder; wanted an image file")
    if _may_never_end(path):
        raise UnsupportedImageError(f"{path}: no file but a device or a pipe; wanted an image file")
    try:
        return _decoded(path.read_bytes(), device, str(path))
    except UnsupportedImageError as error:
        raise UnsupportedImageError(f"{path}: {error}") from error


def _may_never_end(path: Path) -> bool:
    """Of pipes those with a name in a folder; one that a shell lays, such as /dev/fd/63 or /dev/stdin, ends."""
    return path.is_char_device() or (path.is_fifo() and path.absolute().parts[1] != "dev")


def decode_image(data: bytes, device: torch.device = CPU, name: str = "a picture") -> Picture:
    """As `read_image`, from the bytes of a file, which warnings call `name`."""
    return _decoded(data, device, name)


def _decoded(data: bytes, device: torch.device, name: str) -> Picture:
    samples, metadata = decode(data, name)
    return replace(picture_from_array(samples, device), metadata=metadata)


def write_image(path: str | PathLike[str], picture: Picture, *, quality: int = QUALITY) -> None:
    """Writes PNG, JPEG, WebP or TIFF as the suffix says; whatever fails, `path` holds what it held before.

    PNG and TIFF keep the bit depth of `picture.metadata`: a picture that was read and not changed has the same samples.
    `quality` 1 to 100 serves JPEG and WebP (100: WebP without loss). JPEG shows transparent pixels over white.
    Grey is written as RGB. An existing file is replaced.
    Raises UnsupportedImageError (suffix, sides too long for the format, alpha of another size, pixels that are no
    numbers), InvalidOptionError (quality); OSError naming `path` where its folder is missing or cannot be written.
    """
    path = Path(path)
    try:
        data = encode_image(picture, path.suffix, quality=quality)
    except UnsupportedImageError as error:
        raise UnsupportedImageError(f"{path}: {error}") from error
    with replacing(path) as unfinished:
        unfinished.write_bytes(data)


def encode_image(picture: Picture, suffix: str, *, quality: int = QUALITY) -> bytes:
    """The bytes that `write_image` writes to a file with this `suffix`."""
    image_format = output_format(suffix)
    check_quality(quality)
    if not image_format.sixteen_bit:
        picture = replace(picture, metadata=replace(picture.metadata, bit_depth=8))
    samples = picture_to_array(picture)
    height, width = samples.shape[:2]
    if max(height, width) > image_format.longest_side:
        limit = f"wanted at most {image_format.longest_side} a side for {image_format.name}"
        raise UnsupportedImageError(f"{width} x {height} pixels; {limit}")
    try:
        return image_format.encode(samples, picture.metadata, quality)
    except (OSError, ValueError) as error:
        raise UnsupportedImageError(f"cannot be written as {image_format.name}: {error}") from error


def picture_from_array(array: npt.NDArray[Any], device: torch.device = CPU) -> Picture:
    """The picture in an array (H, W) or (H, W, channels): grey, grey and alpha, RGB or RGBA; on `device`.

    uint8 and uint16 use their full range, floating types [0, 1]. The array is copied.
    Raises UnsupportedImageError for other shapes, dtypes and ranges.
    """
    if array.ndim not in (2, 3) or array.size == 0 or array.shape[2:] not in ((), (1,), (2,), (3,), (4,)):
        raise UnsupportedImageError(f"array of shape {array.shape}; wanted (H, W) or (H, W, 1 to 4)")
    planes = _unit_range(array.reshape(*array.shape[:2], -1), device)
    channels = len(planes)
    colours = 1 if channels < 3 else 3
    return Picture(
        pixels=planes[:colours].expand(3, -1, -1).contiguous(),
        alpha=planes[colours] if channels in (2, 4) else None,
        metadata=PictureMetadata(bit_depth=16 if array.dtype == np.uint16 else 8),
    )


def _unit_range(array: npt.NDArray[Any], device: torch.device) -> Tensor:
    if array.dtype.kind == "u" and array.itemsize <= 2:
        return to_planes(array, device)
    if array.dtype.kind != "f":
        raise UnsupportedImageError(f"array of {array.dtype}; wanted uint8, uint16 or floating point")
    low, high = float(array.min()), float(array.max())
    if not 0 <= low <= high <= 1:
        raise UnsupportedImageError(f"floating-point array from {low:g} to {high:g}; wanted 0 to 1")
    return torch.from_numpy(array.astype(np.float32)).permute(2, 0, 1).contiguous().to(device)


def picture_to_array(picture: Picture) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """(H, W, 3 RGB or 4 RGBA), uint8 or uint16 as the metadata's bit depth; clamped, rounded half to even.

    Raises UnsupportedImageError where pixels and alpha differ in size or hold something that is no number.
    """
    _refuse_misshapen(picture)
    pixels, alpha, bits = picture.pixels, picture.alpha, picture.metadata.bit_depth
    if alpha is None:
        return _samples(pixels, bits)
    return np.concatenate((_samples(pixels, bits), _samples(alpha[None], bits)), axis=2)


def _refuse_misshapen(picture: Picture) -> None:
    pixels, alpha = picture.pixels, picture.alpha
    if pixels.ndim != 3 or pixels.shape[0] != 3 or pixels.numel() == 0:
        raise UnsupportedImageError(f"pixels of shape {tuple(pixels.shape)}; wanted (3, H, W)")
    if alpha is not None and alpha.shape != pixels.shape[1:]:
        seen = f"alpha of {tuple(alpha.shape)} with pixels of {tuple(pixels.shape)}"
        raise UnsupportedImageError(f"{seen}; wanted the same height and width")


def _samples(planes: Tensor, bits: int) -> npt.NDArray[Any]:
    planes = planes.detach().float()
    if not bool(torch.isfinite(planes).all()):
        raise UnsupportedImageError("pixels that are no finite numbers; wanted 0 to 1")
    return to_samples(planes, bits)
