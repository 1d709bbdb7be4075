"""Colour profile, EXIF, rotation and resolution through every format."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from gpen2048.images import (
    Picture,
    PictureMetadata,
    decode_image,
    picture_from_array,
    picture_to_array,
    read_image,
    write_image,
)
from gpen2048.pictures.grey_profile import srgb_table
from gpen2048.pictures.metadata import upright_exif
from gpen2048.pictures.png_chunks import SIGNATURE, chunk, kept_chunks
from PIL import Image, ImageCms, ImageOps
from PIL.PngImagePlugin import PngInfo

cv2 = pytest.importorskip("cv2")
tifffile = pytest.importorskip("tifffile")

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
ORIENTATION, MAKE, EXIF_DIRECTORY, EXPOSURE_TIME = 0x0112, 0x010F, 0x8769, 0x829A
ORIENTATIONS = range(1, 9)
FORMATS = [(".png", 8), (".png", 16), (".tif", 8), (".tif", 16), (".jpg", 8), (".webp", 8)]


def quadrants(dtype: str = "uint8") -> np.ndarray:
    """No two of its rotations and mirrors are alike, and flat blocks survive JPEG."""
    samples = np.zeros((32, 48, 3), np.uint8)
    samples[:16, :24], samples[:16, 24:], samples[16:, :24] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    return samples if dtype == "uint8" else samples.astype(np.uint16) * 257


def camera_exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif[MAKE] = "Camera"
    exif[EXIF_DIRECTORY] = {EXPOSURE_TIME: 0.25}
    return exif


def as_pillow_turns(orientation: int) -> np.ndarray:
    buffer = BytesIO()
    Image.fromarray(quadrants()).save(buffer, "PNG", exif=camera_exif(orientation))
    return np.asarray(ImageOps.exif_transpose(Image.open(buffer)))


def save_rotated(path: Path, bit_depth: int, orientation: int) -> None:
    if bit_depth == 16 and path.suffix == ".png":
        exif = camera_exif(orientation).tobytes()
        write_image(path, picture_with(quadrants("uint16"), PictureMetadata(bit_depth=16, exif=exif)))
    elif bit_depth == 16:
        extratags = [(ORIENTATION, "H", 1, orientation, True)]
        tifffile.imwrite(path, quadrants("uint16"), photometric="rgb", extratags=extratags)
    else:
        Image.fromarray(quadrants()).save(path, exif=camera_exif(orientation).tobytes())


def picture_with(samples: np.ndarray, metadata: PictureMetadata) -> Picture:
    return Picture(picture_from_array(samples).pixels, metadata=metadata)


@pytest.mark.parametrize(("suffix", "bit_depth"), FORMATS)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_rotation_is_applied_and_then_gone(tmp_path: Path, suffix: str, bit_depth: int, orientation: int) -> None:
    save_rotated(tmp_path / f"a{suffix}", bit_depth, orientation)
    picture = read_image(tmp_path / f"a{suffix}")
    assert picture.metadata.bit_depth == bit_depth
    upright = picture_to_array(picture).astype(float) / (255 if bit_depth == 8 else 65535)
    error = np.abs(upright - as_pillow_turns(orientation) / 255)
    assert upright.shape == as_pillow_turns(orientation).shape and error.mean() < 0.02
    write_image(tmp_path / f"b{suffix}", picture)
    with Image.open(tmp_path / f"b{suffix}") as written:
        written.load()
        assert written.getexif().get(ORIENTATION, 1) == 1


@pytest.mark.parametrize(("suffix", "bit_depth"), FORMATS)
def test_profile_exif_and_resolution_are_kept(tmp_path: Path, suffix: str, bit_depth: int) -> None:
    exif = upright_exif(camera_exif(6).tobytes())
    metadata = PictureMetadata(bit_depth=bit_depth, icc=SRGB, exif=exif, dpi=(300, 300))
    write_image(tmp_path / f"a{suffix}", picture_with(quadrants(), metadata))
    with Image.open(tmp_path / f"a{suffix}") as image:  # Pillow as the independent reader
        image.load()
        assert image.info["icc_profile"] == SRGB
        assert image.getexif()[MAKE] == "Camera"
        assert float(image.getexif().get_ifd(EXIF_DIRECTORY)[EXPOSURE_TIME]) == 0.25
        assert suffix == ".webp" or image.info["dpi"] == pytest.approx((300, 300), abs=0.01)
    read = read_image(tmp_path / f"a{suffix}")
    write_image(tmp_path / f"b{suffix}", read)
    again = read_image(tmp_path / f"b{suffix}").metadata
    assert again == read.metadata
    assert (again.icc, again.bit_depth, again.format) == (SRGB, bit_depth, Image.open(tmp_path / f"a{suffix}").format)


def test_profile_of_16_bit_tiff_as_tifffile_sees_it(tmp_path: Path) -> None:
    metadata = PictureMetadata(bit_depth=16, icc=SRGB, dpi=(240, 120))
    write_image(tmp_path / "a.tif", picture_with(quadrants("uint16"), metadata))
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert bytes(tiff.pages[0].tags["InterColorProfile"].value) == SRGB
        assert tiff.pages[0].tags["XResolution"].value == (240, 1)
        assert tiff.pages[0].tags["YResolution"].value == (120, 1)


def test_profile_leaves_samples_untouched(tmp_path: Path) -> None:
    samples = np.random.default_rng(3).integers(0, 256, (9, 9, 3), np.uint8)
    Image.fromarray(samples).save(tmp_path / "a.png", icc_profile=SRGB)
    np.testing.assert_array_equal(picture_to_array(read_image(tmp_path / "a.png")), samples)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_png_with_exif_after_the_pixels(tmp_path: Path, dtype: str) -> None:
    exif = camera_exif(6)
    exif[0x0103] = 6  # a tag that only the untouched block has
    bit_depth = 8 if dtype == "uint8" else 16
    metadata = PictureMetadata(bit_depth=bit_depth, exif=exif.tobytes())
    write_image(tmp_path / "a.png", picture_with(quadrants(dtype), metadata))
    data = (tmp_path / "a.png").read_bytes()
    start, end = data.index(b"eXIf") - 4, data.index(b"IDAT") - 4
    (tmp_path / "a.png").write_bytes(data[:start] + data[end:-12] + data[start:end] + data[-12:])
    picture = read_image(tmp_path / "a.png")
    assert picture.pixels.shape == (3, 48, 32)
    assert picture.metadata.exif == upright_exif(exif.tobytes())


def test_exif_too_long_for_jpeg_is_left_out_with_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    exif = camera_exif(1)
    exif[0x010E] = "x" * 70_000
    picture = picture_with(quadrants(), PictureMetadata(exif=exif.tobytes()))
    write_image(tmp_path / "a.jpg", picture)
    assert read_image(tmp_path / "a.jpg").metadata.exif is None and "does not fit" in caplog.text
    write_image(tmp_path / "a.png", picture)
    assert read_image(tmp_path / "a.png").metadata.exif == picture.metadata.exif


@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_orientation_is_reset_in_place(byte_order: str) -> None:
    exif = camera_exif(6)
    exif.endian = byte_order
    before = exif.tobytes()
    after = upright_exif(before)
    assert after is not None and len(after) == len(before)
    changed = [(old, new) for old, new in zip(before, after) if old != new]
    assert changed == [(6, 1)]
    assert upright_exif(before.removeprefix(b"Exif\0\0")) == after


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_thumbnail_of_the_photo_as_it_was_is_left_behind(order: str) -> None:
    """It would be the old photo, and lie on its side."""
    first = struct.pack(f"{order}HHHIHH", 1, ORIENTATION, 3, 1, 6, 0)
    upright = struct.pack(f"{order}HHHIHH", 1, ORIENTATION, 3, 1, 1, 0)
    second = struct.pack(f"{order}HHHII", 1, 0x0201, 4, 1, 60) + bytes(4)
    head = b"Exif\0\0" + (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    where = struct.pack(f"{order}I", 26)  # the second directory
    assert upright_exif(head + first + where + second) == head + upright + bytes(4) + second
    assert upright_exif(head + first + where[:2]) == head + upright + bytes(2)  # cut off


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_is_dropped_and_the_photo_read(tmp_path: Path) -> None:
    whole = camera_exif(6).tobytes()
    for broken in (b"Exif\0\0junk", whole[:8], whole[:20], whole[:10] + b"\xff" * 20):
        assert upright_exif(broken) is None
        metadata = PictureMetadata(exif=broken)
        for suffix in (".png", ".tif", ".jpg", ".webp"):
            write_image(tmp_path / f"a{suffix}", picture_with(quadrants(), metadata))
            read = read_image(tmp_path / f"a{suffix}")
            assert read.pixels.shape == (3, 32, 48) and read.metadata.exif is None


def test_exif_moves_from_tiff_to_jpeg_without_the_layout_tags(tmp_path: Path) -> None:
    Image.fromarray(quadrants()).save(tmp_path / "a.tif", exif=camera_exif(1).tobytes())
    write_image(tmp_path / "a.jpg", read_image(tmp_path / "a.tif"))
    exif = Image.open(tmp_path / "a.jpg").getexif()
    assert set(exif) == {MAKE, EXIF_DIRECTORY}
    assert float(exif.get_ifd(EXIF_DIRECTORY)[EXPOSURE_TIME]) == 0.25


def icc_profile(space: bytes, pcs: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A minimal ICC version 2 profile (ICC.1:2001-04, sections 6.1 and 6.2), so that no licensed one is needed."""
    white = struct.pack(">3I", 0xF6D6, 0x10000, 0xD32D)  # D50
    tags = {b"wtpt": b"XYZ \0\0\0\0" + white, **tags}
    directory, data = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        directory += name + struct.pack(">II", 132 + 12 * len(tags) + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    size = 128 + len(directory) + len(data)
    header = struct.pack(">I4sI4s4s4s12x4s28x12s48x", size, b"", 0x02100000, b"prtr", space, pcs, b"acsp", white)
    return header + directory + data


def linear_grey_profile() -> bytes:
    return icc_profile(b"GRAY", b"XYZ ", {b"kTRC": b"curv" + bytes(8)})  # no entries: the identity


def black_only_cmyk_profile() -> bytes:
    """Of the four inks it knows black alone, so that it cannot be mistaken for a plain conversion."""
    identity = bytes(range(256))
    matrix = struct.pack(">9I", *(0x10000 if i % 4 == 0 else 0 for i in range(9)))
    corners = b"".join(bytes((255 * (corner % 2 == 0), 128, 128)) for corner in range(16))  # Lab; K varies fastest
    table = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + matrix + 4 * identity + corners + 3 * identity
    return icc_profile(b"CMYK", b"Lab ", {b"A2B0": table})


def test_cmyk_goes_through_its_profile_and_loses_it(tmp_path: Path) -> None:
    cmyk = np.array([[[0, 0, 0, 0], [255, 255, 255, 0], [0, 0, 0, 255]]], np.uint8)
    for suffix, options in ((".tif", {}), (".jpg", {"quality": 100})):
        image = Image.fromarray(np.repeat(cmyk, 16, axis=1).repeat(16, axis=0), "CMYK")
        image.save(tmp_path / f"a{suffix}", icc_profile=black_only_cmyk_profile(), **options)
        picture = read_image(tmp_path / f"a{suffix}")
        assert picture.metadata.icc is None
        np.testing.assert_allclose(picture_to_array(picture)[8, 8::16, 1], [255, 255, 0], atol=2)


def test_cmyk_with_a_damaged_profile_is_converted_plainly(tmp_path: Path) -> None:
    cmyk = Image.new("CMYK", (8, 8), (10, 200, 30, 40))
    for profile in (black_only_cmyk_profile()[:200], SRGB, b"short"):
        cmyk.save(tmp_path / "a.tif", icc_profile=profile)
        picture = read_image(tmp_path / "a.tif")
        np.testing.assert_array_equal(picture_to_array(picture), np.asarray(cmyk.convert("RGB")))
        assert picture.metadata.icc is None


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_grey_goes_through_its_profile_and_loses_it(tmp_path: Path, mode: str) -> None:
    grey = Image.new(mode, (4, 4), (128, 77)[: len(mode)] if mode == "LA" else 128)
    grey.save(tmp_path / "a.png", icc_profile=linear_grey_profile())
    picture = read_image(tmp_path / "a.png")
    encoded = 255 * (1.055 * (128 / 255) ** (1 / 2.4) - 0.055)  # IEC 61966-2-1
    np.testing.assert_allclose(picture_to_array(picture)[0, 0], [encoded] * 3 + [77] * (mode == "LA"), atol=1)
    assert picture.metadata.icc is None


def _table(*values: int) -> bytes:
    return b"curv" + bytes(4) + struct.pack(f">I{len(values)}H", len(values), *values)


def _function(kind: int, *values: float) -> bytes:
    return b"para" + bytes(4) + struct.pack(f">HH{len(values)}i", kind, 0, *(round(65536 * value) for value in values))


@pytest.mark.parametrize(
    "curve",
    [
        _table(),
        _table(round(1.8 * 256)),
        _table(0, 9000, 30000, 65535),
        _function(0, 2.2),
        _function(1, 2.0, 1.1, -0.1),
        _function(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045),
        _function(4, 2.0, 0.8, 0.1, 1.288, 0.2, 0.19, 0),
    ],
)
@pytest.mark.parametrize("alpha", [False, True])
def test_grey_of_16_bits_goes_through_its_profile_as_8_bits_do(tmp_path: Path, curve: bytes, alpha: bool) -> None:
    """Those of 8 bits go through LittleCMS, which is coarse near black and at bends."""
    profile = icc_profile(b"GRAY", b"XYZ ", {b"kTRC": curve})
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    opacity = ramp[::-1]
    Image.fromarray(ramp).save(tmp_path / "8.tif", icc_profile=profile)
    if alpha:
        _save_png_16(tmp_path / "16.png", np.dstack((ramp, opacity)).astype(np.uint16) * 257, profile)
        picture = read_image(tmp_path / "16.png")
    else:
        tifffile.imwrite(
            tmp_path / "16.tif", ramp.astype(np.uint16) * 257, iccprofile=profile, photometric="minisblack"
        )
        picture = read_image(tmp_path / "16.tif")
    assert picture.metadata.bit_depth == 16 and picture.metadata.icc is None
    eight = picture_to_array(read_image(tmp_path / "8.tif")).astype(float)
    sixteen = picture_to_array(picture) / 257
    np.testing.assert_allclose(sixteen[eight[..., 0] >= 80, :3], eight[eight[..., 0] >= 80], atol=2)
    assert not alpha or np.array_equal(sixteen[..., 3], opacity)


def test_a_curve_with_an_offset_is_read_as_its_function_is_defined() -> None:
    """LittleCMS would compensate for its black."""
    table = srgb_table(icc_profile(b"GRAY", b"XYZ ", {b"kTRC": _function(2, 2.0, 1.0, -0.2, 0.25)}))
    assert table is not None
    for grey, light in ((0, 0.25), (0.1, 0.25), (0.6, 0.16 + 0.25), (1, 0.64 + 0.25)):
        assert table[round(65535 * grey)] / 65535 == pytest.approx(1.055 * light ** (1 / 2.4) - 0.055, abs=1e-4)


def _save_png_16(path: Path, samples: np.ndarray, profile: bytes) -> None:
    """Grey and alpha, which neither Pillow nor OpenCV writes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 4, 0, 0, 0))
    icc = chunk(b"iCCP", b"grey\0\0" + zlib.compress(profile))
    content = header + icc + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


@pytest.mark.parametrize(
    "profile",
    [
        icc_profile(b"GRAY", b"XYZ ", {}),
        icc_profile(b"GRAY", b"Lab ", {b"kTRC": _table()}),
        icc_profile(b"GRAY", b"XYZ ", {b"kTRC": b"none"}),
        icc_profile(b"GRAY", b"XYZ ", {b"kTRC": _function(0, 2.2)})[:-6],
        icc_profile(b"GRAY", b"XYZ ", {b"kTRC": _function(1, 2.0, 0.0, 0.1)}),
        icc_profile(b"GRAY", b"XYZ ", {b"kTRC": _function(9, 2.0)}),
        icc_profile(b"GRAY", b"XYZ ", {b"kTRC": _table()})[:130],
    ],
)
def test_a_profile_for_grey_that_cannot_be_read_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, profile: bytes
) -> None:
    ramp = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257
    tifffile.imwrite(tmp_path / "a.tif", ramp, iccprofile=profile, photometric="minisblack")
    np.testing.assert_array_equal(picture_to_array(read_image(tmp_path / "a.tif"))[..., 0], ramp)
    assert "profile for grey has no curve" in caplog.text


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_grey_is_written_without_a_trace_of_colour(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / f"in{suffix}"
    Image.linear_gradient("L").save(source, lossless=True)
    write_image(tmp_path / f"out{suffix}", read_image(source), quality=100)
    written = np.asarray(Image.open(tmp_path / f"out{suffix}")).astype(int)
    assert written.shape == (256, 256, 3) and np.ptp(written, axis=2).max() == 0


def test_grey_that_was_not_changed_keeps_every_sample(tmp_path: Path) -> None:
    samples = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="minisblack")
    write_image(tmp_path / "b.tif", read_image(tmp_path / "a.tif"))
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), np.dstack([samples] * 3))


def test_profiles_of_other_colour_spaces_are_not_written(tmp_path: Path) -> None:
    Image.fromarray(quadrants()).save(tmp_path / "a.png", icc_profile=LAB)
    picture = read_image(tmp_path / "a.png")
    assert picture.metadata.icc is None
    np.testing.assert_array_equal(picture_to_array(picture), quadrants())


def test_resolution_that_is_none(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", quadrants(), photometric="rgb", resolution=((0, 1), (0, 1)), resolutionunit=2)
    assert read_image(tmp_path / "a.tif").metadata.dpi is None


@pytest.mark.parametrize(
    ("suffix", "dpi", "kept"),
    [
        (".png", 4e8, False), (".png", 5e7, True), (".jpg", 70_000, False), (".jpg", 65_535, True),
        (".tif", 1e12, False), (".tif", 4e8, True), (".webp", 4e8, True),
    ],
)  # fmt: skip
def test_a_resolution_that_does_not_fit_is_left_out_with_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, suffix: str, dpi: float, kept: bool
) -> None:
    """As that of a microscope, or nonsense."""
    write_image(tmp_path / f"a{suffix}", picture_with(quadrants(), PictureMetadata(dpi=(300, dpi))))
    read = read_image(tmp_path / f"a{suffix}").metadata.dpi
    assert suffix == ".webp" or read == (pytest.approx((300, dpi), rel=1e-4) if kept else None)
    assert ("does not fit" in caplog.text) != kept


def test_defaults_are_a_plain_8_bit_picture() -> None:
    assert Picture(torch.zeros(3, 1, 1)).metadata == PictureMetadata(8, None, None, None, None)


def test_what_a_png_says_in_words_is_kept(tmp_path: Path) -> None:
    """Stable Diffusion's interfaces keep the prompt there, and the whole workflow."""
    prompt, workflow = "portrait, 35mm\nSteps: 20, Seed: 1", '{"nodes": "\u4eba"}'
    info = PngInfo()
    info.add_text("parameters", prompt)
    info.add_itxt("workflow", workflow, zip=True)
    info.add_text("long", "x" * 5000, zip=True)
    info.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta tiff:Orientation='6'/>")
    info.add(b"gAMA", struct.pack(">I", 100000))
    Image.fromarray(quadrants()).save(tmp_path / "a.png", pnginfo=info)
    for _ in range(2):
        write_image(tmp_path / "a.png", read_image(tmp_path / "a.png"))
    with Image.open(tmp_path / "a.png") as image:
        image.load()
        texts = dict(image.text)
        assert texts == {"parameters": prompt, "workflow": workflow, "long": "x" * 5000}
        assert image.info["gamma"] == 1
    write_image(tmp_path / "a.jpg", read_image(tmp_path / "a.png"))
    assert read_image(tmp_path / "a.jpg").metadata.chunks == b""


def test_gamma_beside_a_profile_and_damaged_texts_are_left_out(tmp_path: Path) -> None:
    info = PngInfo()
    info.add(b"gAMA", struct.pack(">I", 100000))
    info.add_text("kept", "whole")
    Image.fromarray(quadrants()).save(tmp_path / "a.png", pnginfo=info, icc_profile=SRGB)
    write_image(tmp_path / "b.png", read_image(tmp_path / "a.png"))
    assert Image.open(tmp_path / "b.png").info.keys() == {"icc_profile", "kept"}
    data = (tmp_path / "a.png").read_bytes()
    assert kept_chunks(data).count(b"whole") == 1
    assert kept_chunks(data.replace(b"whole", b"whale")) == kept_chunks(data[:40]) == b""


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_the_grey_that_is_transparent_is_so_at_every_depth(bits: int) -> None:
    """Written here, bit by bit, since Pillow writes no grey of 2 or 4 bits."""
    row = np.arange(8) % 2**bits
    packed = np.packbits((row[:, None] >> np.arange(bits)[::-1]) & 1).tobytes()
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", 8, 1, bits, 0, 0, 0, 0)),
        (b"tRNS", struct.pack(">H", 1)),
        (b"IDAT", zlib.compress(b"\0" + packed)),
        (b"IEND", b""),
    ]
    picture = decode_image(SIGNATURE + b"".join(chunk(kind, content) for kind, content in parts))
    assert picture.alpha is not None
    assert torch.equal(picture.alpha[0], torch.from_numpy(row != 1).float())
    assert torch.allclose(picture.pixels[0, 0], torch.from_numpy(row / (2**bits - 1)).float(), atol=1e-6)
