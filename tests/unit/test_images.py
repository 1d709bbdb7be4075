"""Pictures against independent readers and writers: Pillow, OpenCV and tifffile."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from gpen2048.errors import UnsupportedImageError
from gpen2048.images import (
    Picture,
    PictureMetadata,
    output_format,
    picture_from_array,
    picture_to_array,
    read_image,
    write_image,
)
from PIL import Image

cv2 = pytest.importorskip("cv2")
tifffile = pytest.importorskip("tifffile")

ORIENTATION = 0x0112


def random_samples(*shape: int, dtype: str = "uint8") -> np.ndarray:
    return np.random.default_rng(7).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def read_by_opencv(path: Path) -> np.ndarray:
    samples = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return samples[:, :, [2, 1, 0, 3][: samples.shape[2]]]


def smooth_photo() -> np.ndarray:
    y, x = np.mgrid[0:48, 0:64]
    return np.stack((4 * x, 5 * y, 2 * x + 2 * y), axis=2).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [3, 4])
def test_untouched_picture_keeps_every_sample(tmp_path: Path, suffix: str, dtype: str, channels: int) -> None:
    samples = random_samples(37, 53, channels, dtype=dtype)
    write_image(tmp_path / f"a{suffix}", picture_from_array(samples))
    write_image(tmp_path / f"b{suffix}", read_image(tmp_path / f"a{suffix}"))
    read = read_by_opencv if suffix == ".png" else tifffile.imread  # OpenCV multiplies a TIFF's colours by its alpha
    np.testing.assert_array_equal(read(tmp_path / f"b{suffix}"), samples)
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_every_value_of_both_depths_survives() -> None:
    for dtype, side in (("uint8", 16), ("uint16", 256)):
        samples = np.arange(side * side, dtype=dtype).reshape(side, side)
        np.testing.assert_array_equal(picture_to_array(picture_from_array(samples))[:, :, 1], samples)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [3, 4])
def test_tiff_as_tifffile_has_it(tmp_path: Path, dtype: str, channels: int) -> None:
    samples = random_samples(19, 31, channels, dtype=dtype)
    extra = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    tifffile.imwrite(tmp_path / "theirs.tif", samples, photometric="rgb", **extra)
    picture = read_image(tmp_path / "theirs.tif")
    write_image(tmp_path / "ours.tiff", picture)
    np.testing.assert_array_equal(picture_to_array(picture), samples)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "ours.tiff"), samples)


@pytest.mark.parametrize("form", ["big_endian", "deflated", "tiled", "bigtiff", "lzw", "upside_down"])
def test_16_bit_tiff_of_other_programs(tmp_path: Path, form: str) -> None:
    samples = random_samples(40, 33, 3, dtype="uint16")
    options = {
        "big_endian": {"byteorder": ">"},
        "deflated": {"compression": "zlib", "predictor": True},
        "tiled": {"tile": (16, 16)},
        "bigtiff": {"bigtiff": True},
        "upside_down": {"extratags": [(ORIENTATION, "H", 1, 4, True)]},
    }
    if form == "lzw":
        cv2.imwrite(str(tmp_path / "a.tif"), samples[:, :, ::-1])
    else:
        tifffile.imwrite(tmp_path / "a.tif", samples, photometric="rgb", **options[form])
    expected = samples[::-1] if form == "upside_down" else samples
    np.testing.assert_array_equal(picture_to_array(read_image(tmp_path / "a.tif")), expected)


def test_16_bit_tiff_grey_and_white_is_zero(tmp_path: Path) -> None:
    samples = random_samples(8, 9, dtype="uint16")
    for photometric, expected in (("minisblack", samples), ("miniswhite", 65535 - samples)):
        tifffile.imwrite(tmp_path / "a.tif", samples, photometric=photometric)
        picture = read_image(tmp_path / "a.tif")
        np.testing.assert_array_equal(picture_to_array(picture), np.dstack([expected] * 3))
        assert picture.metadata.bit_depth == 16


def test_16_bit_tiff_with_multiplied_alpha(tmp_path: Path) -> None:
    alpha = np.full((4, 4, 1), 32768, np.uint16)
    colour = np.full((4, 4, 3), 16384, np.uint16)  # half of what is meant, alpha being a half
    options = {"photometric": "rgb", "extrasamples": ["assocalpha"]}
    tifffile.imwrite(tmp_path / "a.tif", np.dstack((colour, alpha)), **options)
    np.testing.assert_array_equal(picture_to_array(read_image(tmp_path / "a.tif"))[0, 0], [32768, 32768, 32768, 32768])


def test_16_bit_png_of_opencv(tmp_path: Path) -> None:
    for channels in (1, 3, 4):
        samples = random_samples(12, 15, channels, dtype="uint16")
        cv2.imwrite(str(tmp_path / "a.png"), samples[:, :, [2, 1, 0, 3][:channels]] if channels > 1 else samples)
        expected = np.repeat(samples, 3, axis=2) if channels == 1 else samples
        np.testing.assert_array_equal(picture_to_array(read_image(tmp_path / "a.png")), expected)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_modes_as_pillow_converts_them(tmp_path: Path, mode: str) -> None:
    has_alpha = mode in ("LA", "RGBA")
    image = Image.fromarray(random_samples(20, 24, 4 if has_alpha else 3)).convert(mode)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    image.save(path)
    expected = np.asarray(image.convert("RGBA" if has_alpha else "RGB"))
    picture = read_image(path)
    np.testing.assert_array_equal(picture_to_array(picture), expected)
    assert (picture.alpha is not None) == has_alpha


def test_palette_and_colour_key_transparency(tmp_path: Path) -> None:
    palette = Image.fromarray(random_samples(6, 7) % 4, "L").convert("P")
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    palette.save(tmp_path / "p.png", transparency=2)
    alpha = read_image(tmp_path / "p.png").alpha
    assert alpha is not None
    np.testing.assert_array_equal(alpha.numpy(), np.where(np.asarray(palette) == 2, 0, 1))


def test_16_bit_colour_key_transparency(tmp_path: Path) -> None:
    samples = np.array([[7, 300, 7], [7, 7, 65535]], np.uint16)
    encoded = cv2.imencode(".png", samples)[1].tobytes()
    key = b"tRNS" + struct.pack(">H", 300)
    chunk = struct.pack(">I", 2) + key + struct.pack(">I", zlib.crc32(key))
    (tmp_path / "g.png").write_bytes(encoded[:33] + chunk + encoded[33:])  # after the header
    alpha = read_image(tmp_path / "g.png").alpha
    assert alpha is not None
    np.testing.assert_array_equal(alpha.numpy(), np.where(samples == 300, 0, 1))


@pytest.mark.parametrize("suffix", [".bmp", ".gif", ".ppm"])
def test_further_formats_read(tmp_path: Path, suffix: str) -> None:
    image = Image.fromarray(smooth_photo()).quantize(64).convert("RGB")
    image.save(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(picture_to_array(read_image(tmp_path / f"a{suffix}")), np.asarray(image))


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_lossy_formats_stay_close(tmp_path: Path, suffix: str) -> None:
    write_image(tmp_path / f"a{suffix}", picture_from_array(smooth_photo()))
    with Image.open(tmp_path / f"a{suffix}") as image:
        error = np.abs(np.asarray(image.convert("RGB")).astype(int) - smooth_photo())
    assert error.mean() < 2, f"mean {error.mean()}, worst {error.max()}"  # swapped colours would differ by 50


def test_webp_at_quality_100_is_lossless_with_alpha(tmp_path: Path) -> None:
    samples = random_samples(20, 21, 4)
    write_image(tmp_path / "a.webp", picture_from_array(samples), quality=100)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.webp")), samples)
    np.testing.assert_array_equal(picture_to_array(read_image(tmp_path / "a.webp")), samples)


def test_16_bits_become_8_in_jpeg_and_webp(tmp_path: Path) -> None:
    picture = picture_from_array(smooth_photo().astype(np.uint16) * 257)
    write_image(tmp_path / "a.webp", picture, quality=100)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.webp")), smooth_photo())


def test_jpeg_shows_transparency_white(tmp_path: Path) -> None:
    samples = np.zeros((16, 32, 4), np.uint8)
    samples[:, 16:, 3] = 255  # transparent black on the left, opaque black on the right
    write_image(tmp_path / "a.jpg", picture_from_array(samples))
    seen = np.asarray(Image.open(tmp_path / "a.jpg"))
    assert seen[:, :16].min() > 250 and seen[:, 16:].max() < 5


def test_rounding_is_half_to_even_after_clamping() -> None:
    values = torch.tensor([-1.0, 0.5 / 255, 1.5 / 255, 2.5 / 255, 2.0], dtype=torch.float64)
    pixels = values.float().view(1, 1, 5).expand(3, 1, 5)
    assert picture_to_array(Picture(pixels))[0, :, 0].tolist() == [0, 0, 2, 2, 255]


def test_float_and_grey_arrays() -> None:
    ramp = np.linspace(0, 1, 12, dtype=np.float64).reshape(3, 4)
    picture = picture_from_array(ramp)
    assert picture.pixels.shape == (3, 3, 4) and picture.pixels.dtype == torch.float32
    np.testing.assert_array_equal(picture.pixels[2].numpy(), ramp.astype(np.float32))
    two = picture_from_array(np.dstack((ramp, 1 - ramp)))
    assert two.alpha is not None
    np.testing.assert_array_equal(two.alpha.numpy(), (1 - ramp).astype(np.float32))


def test_new_pixels_take_the_alpha_along() -> None:
    alpha = torch.zeros(4, 6)
    alpha[:, 3:] = 1
    larger = Picture(torch.rand(3, 4, 6), alpha, PictureMetadata(dpi=(72, 72))).with_pixels(torch.rand(3, 8, 12))
    assert larger.alpha is not None and larger.metadata.dpi == (72, 72)
    # Centres p go to 2 (p + 0.5) - 0.5: the step from 2 to 3 becomes one from 4.5 to 6.5, a quarter reached at 5.
    assert larger.alpha[0].tolist() == [0, 0, 0, 0, 0, 0.25, 0.75, 1, 1, 1, 1, 1]
    assert picture_to_array(larger).shape == (8, 12, 4)


@pytest.mark.parametrize("name", ["ünïcödé 写真.png", "UPPER.TIFF", "mixed.JpEg", "dots.in.name.webp"])
def test_names(tmp_path: Path, name: str) -> None:
    write_image(str(tmp_path / name), picture_from_array(smooth_photo()))
    assert read_image(str(tmp_path / name)).pixels.shape == (3, 48, 64)


def test_output_format_is_known_before_any_work() -> None:
    assert output_format(".TIF").name == "TIFF"
    for suffix in ("", ".bmp", ".gif", ".txt"):
        with pytest.raises(UnsupportedImageError, match=r"wanted \.png, \.jpg"):
            output_format(suffix)


def test_jpeg_keeps_colours_as_fine_as_lightness(tmp_path: Path) -> None:
    """Red and blue columns one pixel wide, which a halved chroma would turn into violet."""
    columns = torch.tensor([[1.0, 0, 0], [0, 0, 1.0]]).T.repeat(1, 16)[:, None].expand(3, 32, 32)
    write_image(tmp_path / "o.jpg", Picture(columns.contiguous()))
    assert (read_image(tmp_path / "o.jpg").pixels - columns).abs().max() < 0.1
