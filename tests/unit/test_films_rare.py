"""Films of kinds that few have: grey ones, time lapses, a single frame."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gpen2048.films.frames import FULL_RANGE
from gpen2048.films.opening import open_film
from gpen2048.films.writing import FilmWriter
from torch import Tensor

av: Any = pytest.importorskip("av", reason="needs PyAV")


def make_film(path: Path, frames: list[Tensor], seconds: int, codec: str = "libx264", form: str = "yuv420p") -> Path:
    """`frames` (3, H, W), each shown for so many `seconds`."""
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=Fraction(1, seconds))
        video.height, video.width = frames[0].shape[1:]
        video.pix_fmt, video.codec_context.time_base = form, Fraction(1, seconds)
        for number, pixels in enumerate(frames):
            samples = (pixels * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
            frame = av.VideoFrame.from_ndarray(samples, format="rgb24").reformat(format=form)
            frame.pts, frame.time_base = number * seconds, Fraction(1)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return path


def copy(source: Path, target: Path, codec: str) -> None:
    with open_film(source) as film, FilmWriter(target, film, codec=codec, quality=1) as writer:
        for frame in film.frames():
            writer.write(frame.pixels, frame.pts, frame.duration)


@pytest.mark.parametrize("pixel_format", ["gray", "gray16le", "ya8"])
@pytest.mark.parametrize(("codec", "name"), [("h264", "out.mp4"), ("ffv1", "out.mkv")])
def test_grey_films_keep_their_shadows_and_lights(tmp_path: Path, pixel_format: str, codec: str, name: str) -> None:
    """In a film without a word about its range they lie from 0 to 255, and they do so still."""
    ramp = torch.linspace(0, 1, 256).repeat(3, 32, 1)
    film = make_film(tmp_path / "grey.mkv", [ramp] * 3, 1, "ffv1", pixel_format)
    copy(film, tmp_path / name, codec)
    with av.open(str(tmp_path / name)) as shown:
        frame = next(shown.decode(video=0))
    assert int(frame.color_range) == FULL_RANGE
    lightness, bits = frame.planes[0], frame.format.components[0].bits
    rows = np.frombuffer(lightness, np.uint8 if bits == 8 else np.uint16).reshape(frame.height, -1)
    beside_alpha = 2 if frame.format.name == "ya8" else 1
    assert np.abs(rows[16, ::beside_alpha][:256] / (2**bits - 1) * 255 - np.arange(256)).max() <= 1.5


@pytest.mark.parametrize("name", ["slow.mkv", "slow.mp4"])
def test_a_time_lapse_is_whole(tmp_path: Path, group_photo: Tensor, name: str) -> None:
    """FFmpeg guesses when such a film begins, at its second frame."""
    film = make_film(tmp_path / name, [group_photo[:, :64, :96]] * 20, 10)
    with open_film(film) as opened:
        frames = list(opened.frames())
    assert len(frames) == 20 and not opened.problems


@pytest.mark.parametrize("name", ["few.mp4", "few.mkv"])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_film_of_few_frames(tmp_path: Path, group_photo: Tensor, name: str, count: int) -> None:
    """x265 leaves the time at which such frames are to be decoded to chance."""
    film = make_film(tmp_path / "given.mp4", [group_photo[:, :64, :96]] * count, 1)
    copy(film, tmp_path / name, "h265")
    with open_film(tmp_path / name) as copied:
        assert [float(frame.pts * copied.time_base) for frame in copied.frames()] == list(range(count))
        assert not copied.problems
