"""What is refused, in which words, and that nothing half written ever stays."""

from __future__ import annotations

import logging
import os
import re
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from gpen2048.errors import GpenError, UnsupportedImageError
from gpen2048.images import Picture, picture_from_array, picture_to_array, read_image, write_image
from gpen2048.pictures import decoding as image_decoding
from gpen2048.pictures import encoding as image_encoding
from PIL import Image

cv2 = pytest.importorskip("cv2")
tifffile = pytest.importorskip("tifffile")

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # its remarks on the files damaged here

SAMPLES = np.random.default_rng(5).integers(0, 65536, (24, 32, 3), np.uint16)


def photo(suffix: str, tmp_path: Path) -> bytes:
    depth = 1 if suffix.endswith("16") else 257
    samples = SAMPLES if depth == 1 else (SAMPLES // 257).astype(np.uint8)
    path = tmp_path / f"whole{suffix.removesuffix('16')}"
    write_image(path, picture_from_array(samples))
    return path.read_bytes()


def refusal(path: Path) -> str:
    with pytest.raises(UnsupportedImageError) as caught:
        read_image(path)
    message = str(caught.value)
    assert str(path) in message and "anted" in message and "\n" not in message
    return message


def test_refused_inputs_are_named(tmp_path: Path) -> None:
    empty, text = tmp_path / "empty.png", tmp_path / "text.png"
    empty.touch()
    text.write_text("not a picture")
    assert "folder" in refusal(tmp_path)
    assert "empty" in refusal(empty)
    assert "b'not a pi'" in refusal(text)
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "missing.png")


@pytest.mark.parametrize("suffix", [".png", ".png16", ".tif", ".tif16", ".jpg", ".webp"])
def test_no_cut_file_passes_for_a_whole_one(tmp_path: Path, suffix: str) -> None:
    data = photo(suffix, tmp_path)
    cut = tmp_path / "cut.bin"
    for end in range(1, len(data) - 16, 1 + len(data) // 60):  # PNG's last 16 bytes hold no pixels
        cut.write_bytes(data[:end])
        refusal(cut)


@pytest.mark.parametrize(
    ("suffix", "name"), [(".png", "PNG"), (".tif", "TIFF"), (".jpg", "JPEG"), (".webp", "WEBP"), (".bmp", "BMP")]
)
def test_a_picture_cut_in_its_head_is_called_cut(tmp_path: Path, suffix: str, name: str) -> None:
    Image.fromarray((SAMPLES // 257).astype(np.uint8)).save(tmp_path / f"whole{suffix}")
    data = (tmp_path / f"whole{suffix}").read_bytes()
    for end in (16, 24, 30, 40):
        (tmp_path / f"cut{suffix}").write_bytes(data[:end])
        assert f"{name}, but damaged, cut off or of a kind that" in refusal(tmp_path / f"cut{suffix}")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_only_what_may_never_end_is_refused_unread(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for endless in (tmp_path / "pipe.png", Path("/dev/zero")):
        assert "no file but a device or a pipe; wanted an image file" in refusal(endless)
    out, into = os.pipe()  # as a shell has them for <(...)
    writer = threading.Thread(target=lambda: (os.write(into, photo(".png", tmp_path)), os.close(into)))
    writer.start()
    assert read_image(f"/dev/fd/{out}").pixels.shape == (3, 24, 32)
    writer.join()
    os.close(out)


@pytest.mark.parametrize("suffix", [".png", ".png16", ".tif", ".tif16", ".jpg", ".webp"])
def test_damaged_bytes_read_or_are_refused(tmp_path: Path, suffix: str) -> None:
    data = photo(suffix, tmp_path)
    generator = np.random.default_rng(11)
    for _ in range(100):
        damaged = bytearray(data)
        for position in generator.integers(0, min(len(data), 400), 3):
            damaged[position] = generator.integers(256)
        (tmp_path / "damaged.bin").write_bytes(damaged)
        try:
            picture = read_image(tmp_path / "damaged.bin")
        except UnsupportedImageError:
            continue
        assert picture.pixels.shape[0] == 3 and picture.pixels.dtype == torch.float32


def test_too_many_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    Image.new("1", (20000, 10000)).save(path)
    assert "178,956,970" in refusal(path)  # Pillow's check
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # as some hosts do
    assert "20000 x 10000" in refusal(path) and "178,956,970" in refusal(path)


def test_large_scans_cause_no_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    Image.new("L", (30, 50)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    read_image(tmp_path / "a.png")
    assert not recwarn.list


def test_kinds_of_samples_without_use(tmp_path: Path) -> None:
    Image.new("F", (4, 4)).save(tmp_path / "float.tif")
    assert "kind F" in refusal(tmp_path / "float.tif")
    Image.new("LAB", (4, 4)).save(tmp_path / "lab.tif")
    assert "kind LAB" in refusal(tmp_path / "lab.tif")
    planes = np.moveaxis(SAMPLES, 2, 0)
    tifffile.imwrite(tmp_path / "planes.tif", planes, photometric="rgb", planarconfig="separate")
    assert "plane" in refusal(tmp_path / "planes.tif")


def test_animation_gives_its_first_frame_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    frames = [Image.new("RGB", (6, 5), colour) for colour in ("red", "lime", "blue")]
    for suffix in (".gif", ".png", ".webp", ".tif"):
        caplog.clear()
        frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:], lossless=True)
        with caplog.at_level(logging.WARNING, logger="gpen2048"):
            samples = picture_to_array(read_image(tmp_path / f"a{suffix}"))
        assert samples[0, 0].tolist()[:3] == [255, 0, 0]
        assert f"a{suffix}: only the first of 3 frames" in caplog.text


@pytest.mark.parametrize(
    ("array", "seen"),
    [
        (np.zeros((4,), np.uint8), "(4,)"),
        (np.zeros((0, 4, 3), np.uint8), "(0, 4, 3)"),
        (np.zeros((3, 4, 5), np.uint8), "(3, 4, 5)"),
        (np.zeros((1, 3, 4, 4), np.float32), "(1, 3, 4, 4)"),
        (np.zeros((4, 4, 3), np.int32), "int32"),
        (np.zeros((4, 4, 3), np.uint32), "uint32"),
        (np.zeros((4, 4, 3), bool), "bool"),
        (np.full((4, 4, 3), 255.0), "255"),
        (np.full((4, 4, 3), np.nan), "nan"),
        (np.full((4, 4, 3), -0.5), "-0.5"),
    ],
)
def test_refused_arrays(array: np.ndarray, seen: str) -> None:
    with pytest.raises(UnsupportedImageError, match=re.escape(seen)):
        picture_from_array(array)


def test_refused_pictures(tmp_path: Path) -> None:
    good = Picture(torch.rand(3, 4, 5))
    for bad, seen in (
        (replace(good, pixels=torch.full((3, 4, 5), torch.nan)), "finite"),
        (replace(good, pixels=torch.rand(4, 5)), r"\(4, 5\)"),
        (replace(good, pixels=torch.rand(1, 4, 5)), r"\(1, 4, 5\)"),
        (replace(good, alpha=torch.rand(5, 4)), r"alpha of \(5, 4\)"),
    ):
        with pytest.raises(UnsupportedImageError, match=seen) as caught:
            write_image(tmp_path / "a.png", bad)
        assert str(tmp_path / "a.png") in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("suffix", "longest"), [(".webp", 16383), (".jpg", 65500)])
def test_sides_too_long_for_the_format(tmp_path: Path, suffix: str, longest: int) -> None:
    write_image(tmp_path / f"longest{suffix}", Picture(torch.zeros(3, 1, longest)))
    with Image.open(tmp_path / f"longest{suffix}") as image:
        assert image.size == (longest, 1)
    with pytest.raises(UnsupportedImageError, match=f"{longest + 1} x 1 pixels; wanted at most {longest}"):
        write_image(tmp_path / f"a{suffix}", Picture(torch.zeros(3, 1, longest + 1)))


def test_unknown_suffix_is_refused_with_the_file_named(tmp_path: Path) -> None:
    for name in ("a.bmp", "a", "a.png.txt"):
        with pytest.raises(UnsupportedImageError, match=re.escape(str(tmp_path / name))):
            write_image(tmp_path / name, Picture(torch.rand(3, 2, 2)))


class Interrupted(KeyboardInterrupt):
    pass


@pytest.mark.parametrize("error", [Interrupted(), OSError("disk full"), MemoryError()])
@pytest.mark.parametrize("existing", [None, b"the older picture"])
def test_failing_encoder_leaves_the_folder_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, existing: bytes | None
) -> None:
    def fail(*_: object) -> bytes:
        raise error

    if existing:
        (tmp_path / "a.png").write_bytes(existing)
    monkeypatch.setitem(image_encoding.FORMATS, ".png", image_encoding.PNG._replace(encode=fail))
    with pytest.raises((Interrupted, GpenError, MemoryError)):
        write_image(tmp_path / "a.png", Picture(torch.rand(3, 2, 2)))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == ({"a.png": existing} if existing else {})


@pytest.mark.parametrize("step", ["write_bytes", "replace"])
@pytest.mark.parametrize("error", [Interrupted(), OSError(28, "No space left on device")])
def test_failing_disk_leaves_the_folder_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    def half_written(path: Path, *_: object) -> None:
        path.open("wb").close()
        raise error

    (tmp_path / "a.png").write_text("older")
    monkeypatch.setattr(Path, step, half_written)
    with pytest.raises(type(error)) as caught:
        write_image(tmp_path / "a.png", Picture(torch.rand(3, 2, 2)))
    monkeypatch.undo()
    assert isinstance(error, Interrupted) or caught.value.filename == str(tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_text() == "older"


def test_missing_and_unwritable_folders_are_os_errors(tmp_path: Path) -> None:
    picture = Picture(torch.rand(3, 2, 2))
    with pytest.raises(FileNotFoundError, match=r"missing.a\.png"):
        write_image(tmp_path / "missing" / "a.png", picture)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(OSError, match=r"folder\.png"):
        write_image(tmp_path / "folder.png", picture)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


def test_decoding_needs_no_name() -> None:
    with pytest.raises(UnsupportedImageError, match=r"^the file is empty"):
        image_decoding.decode(b"")
