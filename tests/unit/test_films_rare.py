"""Films of kinds that few have: grey ones, time lapses, a single frame; in AVIs; with other colours."""

from __future__ import annotations

import os
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gpen2048.errors import UnsupportedFilmError
from gpen2048.films.frames import FULL_RANGE
from gpen2048.films.opening import open_film, written_suffix
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


def make_avi(path: Path, codec: str, x264: str, frames: list[Tensor]) -> Path:
    """25 `frames` a second with B-frames, a keyframe every ten at least, beside silence."""
    with av.open(str(path), "w") as container:
        options = {"g": "10", "sc_threshold": "1000000000", **({"x264-params": x264} if x264 else {})}
        video, tone = container.add_stream(codec, rate=25, options=options), container.add_stream("mp2", rate=44100)
        video.height, video.width = frames[0].shape[1:]
        video.pix_fmt, video.codec_context.max_b_frames, tone.layout = "yuv420p", 2, "mono"
        for number, pixels in enumerate(frames):
            samples = (pixels * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
            container.mux(video.encode(av.VideoFrame.from_ndarray(samples, format="rgb24")))
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1764), np.int16), format="s16", layout="mono")
            silence.sample_rate, silence.pts = 44100, number * 1764
            container.mux(tone.encode(silence))
        for stream in (video, tone):
            container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("codec", "x264"),
    [("libx264", "bframes=3"), ("libx264", "open-gop=1"), ("libx264", "bframes=0"), ("mpeg4", ""), ("mpeg2video", "")],
)
@pytest.mark.parametrize("count", [1, 2, 30])
def test_an_avi_shows_a_frame_in_every_place(
    tmp_path: Path, group_photo: Tensor, codec: str, x264: str, count: int
) -> None:
    """It tells when frames are decoded alone: the n-th to be shown is shown when the n-th is decoded."""
    pan = [group_photo[:, 200:264, 300 + 2 * n : 396 + 2 * n] for n in range(count)]
    with open_film(make_avi(tmp_path / "in.avi", codec, x264, pan)) as film:
        whole = list(film.frames())
        assert [float(frame.pts * film.time_base) for frame in whole] == pytest.approx([n / 25 for n in range(count)])
        assert [time for time, _ in film.times()] == [frame.pts for frame in whole] and not film.problems
        cuts = [None, *(time for time, is_key in film.times()[1:] if is_key), None]
        parts = [frame for first, last in pairwise(cuts) for frame in film.frames(first, last)]
        assert [frame.pts for frame in parts] == [frame.pts for frame in whole]
        assert all(torch.equal(part.pixels, frame.pixels) for part, frame in zip(parts, whole))
        for frame, pixels in zip(whole, pan):
            assert (frame.pixels - pixels).abs().mean() < 0.04  # the neighbours' are 0.06 away


def tagged(path: Path, matrix: int, codec: str = "ffv1", form: str = "yuv444p") -> Path:
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=25)
        video.width, video.height, video.pix_fmt = 96, 64, form
        video.codec_context.colorspace = matrix
        for _ in range(3):
            frame = av.VideoFrame(96, 64, form)
            frame.colorspace = matrix
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return path


@pytest.mark.parametrize(("matrix", "name"), [(8, "YCgCo"), (10, "BT.2020 with constant luminance"), (14, "ICtCp")])
def test_colours_that_cannot_be_converted_are_named(tmp_path: Path, matrix: int, name: str) -> None:
    film = tagged(tmp_path / "in.mkv", matrix)
    with pytest.raises(UnsupportedFilmError) as caught:
        open_film(film)
    wanted = "wanted BT.601, BT.709 or BT.2020; convert it before"
    assert str(caught.value) == f"{film}: its colours are stored as {name} (matrix {matrix}); {wanted}"


@pytest.mark.parametrize(
    ("matrix", "name", "codec", "form"), [(3, "in.mpg", "mpeg2video", "yuv420p"), (8, "in.mkv", "ffv1", "bgr0")]
)
def test_a_matrix_that_means_nothing_is_passed_over(
    tmp_path: Path, matrix: int, name: str, codec: str, form: str
) -> None:
    copy(tagged(tmp_path / name, matrix, codec, form), tmp_path / "out.mp4", "h264")
    with open_film(tmp_path / "out.mp4") as film:
        assert len(list(film.frames())) == 3


def test_colours_of_five_bits_are_as_bright_as_they_are_shown(tmp_path: Path) -> None:
    stripes = torch.linspace(0, 1, 32).repeat_interleave(3).repeat(3, 64, 1)
    film = make_film(tmp_path / "in.mov", [stripes] * 2, 1, "qtrle", "rgb555be")
    with av.open(str(film)) as shown, open_film(film) as opened:
        wanted = next(shown.decode(video=0)).to_ndarray(format="rgb24")
        assert opened.coding.bits == 5 and wanted.max() == 255
        pixels = next(opened.frames()).pixels
    assert np.array_equal((pixels * 255).permute(1, 2, 0).numpy().round(), wanted)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_no_film(tmp_path: Path) -> None:
    """Whoever reads it waits for ever."""
    os.mkfifo(tmp_path / "in.mp4")
    with pytest.raises(UnsupportedFilmError, match=r"in\.mp4: no file but a device or a pipe; wanted a video file"):
        open_film(tmp_path / "in.mp4")


def test_the_sound_of_old_phones_is_kept(tmp_path: Path, group_photo: Tensor) -> None:
    """AMR, which neither MP4 nor Matroska holds."""
    if "libopencore_amrnb" not in av.codecs_available:
        pytest.skip("this PyAV does not write AMR")
    with av.open(str(tmp_path / "in.3gp"), "w") as container:
        video, tone = container.add_stream("libx264", rate=25), container.add_stream("libopencore_amrnb", rate=8000)
        video.width, video.height, video.pix_fmt, tone.layout = 96, 64, "yuv420p", "mono"
        for _ in range(10):
            container.mux(video.encode(av.VideoFrame(96, 64, "yuv420p")))
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 3200), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux([*video.encode(None), *tone.encode(sound), *tone.encode(None)])
    with pytest.raises(UnsupportedFilmError, match=r"h264 video and amrnb sound in \.mp4.*; \.mov holds all"):
        copy(tmp_path / "in.3gp", tmp_path / "out.mp4", "h264")
    out = tmp_path / f"out{written_suffix('.3gp')}"
    copy(tmp_path / "in.3gp", out, "h264")
    with av.open(str(out)) as film:
        assert film.streams.audio[0].codec_context.name.startswith("amr")
