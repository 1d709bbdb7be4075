"""Films written by PyAV, read, written again and compared packet by packet."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from gpen2048.errors import InvalidOptionError, UnsupportedFilmError
from gpen2048.films import opening
from gpen2048.films.frames import Coding
from gpen2048.films.opening import open_film
from gpen2048.films.stream_copy import Clock
from gpen2048.films.writing import FilmWriter
from torch import Tensor

av: Any = pytest.importorskip("av", reason="needs PyAV")

MILLISECOND = Fraction(1, 1000)


def make_film(
    path: Path,
    frames: Sequence[Tensor],
    *,
    times: Sequence[int] | None = None,
    pixel_format: str = "yuv420p",
    matrix: int = 2,
    sound: str = "aac",
    codec: str = "libx264",
) -> Path:
    """`frames` (3, H, W) at `times` in ms, with a keyframe every ten, beside a tone."""
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=25, options={"crf": "4", "g": "10"})
        video.height, video.width = frames[0].shape[1:]
        video.pix_fmt, video.codec_context.time_base = pixel_format, MILLISECOND
        video.codec_context.colorspace = matrix
        tone = container.add_stream(sound, rate=44100, layout="mono") if sound else None
        for number, pixels in enumerate(frames):
            samples = (pixels * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
            frame = av.VideoFrame.from_ndarray(samples, format="rgb24")
            frame.colorspace = matrix
            frame = frame.reformat(format=pixel_format)
            frame.pts, frame.time_base = times[number] if times else number * 40, MILLISECOND
            container.mux(video.encode(frame))
            if tone:
                container.mux(tone.encode(_tone(number)))
        container.mux(video.encode(None))
        if tone:
            container.mux(tone.encode(None))
    return path


def _tone(number: int) -> Any:
    wave = (np.sin(np.arange(1764) / 20 + number) * 9000).astype(np.int16)  # 40 ms
    frame = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = 44100, number * 1764, Fraction(1, 44100)
    return frame


def sound_packets(path: Path) -> list[tuple[float, bytes]]:
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(audio=0) if p.pts is not None] if container.streams.audio else []
        return [(float(p.pts * p.time_base), bytes(p)) for p in packets]


def read(path: Path) -> tuple[list[Tensor], list[float]]:
    with open_film(path) as film:
        frames = list(film.frames())
        assert film.problems == []
        return [f.pixels for f in frames], [float(f.pts * film.time_base) for f in frames]


def copy(source: Path, target: Path, **writing: Any) -> None:
    with open_film(source) as film, FilmWriter(target, film, **writing) as writer:
        for frame in film.frames():
            writer.write(frame.pixels, frame.pts, frame.duration)


def _psnr(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    assert len(one) == len(other)
    return float(-10 * torch.log10(torch.stack([(a - b).square().mean() for a, b in zip(one, other)]).mean()))


@pytest.fixture(scope="module")
def pictures(group_photo: Tensor) -> list[Tensor]:
    """A slow pan over the photo, tinted so that wrong colours show, (3, 96, 128)."""
    tint = torch.tensor([1.0, 0.8, 0.55])[:, None, None]
    return [(group_photo[:, 200:296, 300 + n : 428 + n] * tint).contiguous() for n in range(30)]


@pytest.mark.parametrize(
    ("name", "codec"), [("out.mp4", "h264"), ("out.mov", "h265"), ("out.mkv", "ffv1"), ("out.mkv", "h264")]
)
def test_a_film_keeps_pictures_times_and_sound(tmp_path: Path, pictures: list[Tensor], name: str, codec: str) -> None:
    source = make_film(tmp_path / "in.mp4", pictures)
    copy(source, tmp_path / name, codec=codec, quality=4)
    before, after = read(source), read(tmp_path / name)
    assert _psnr(before[0], pictures) > 35  # the source itself has its chroma halved
    assert _psnr(before[0], after[0]) > 42
    late = after[1][0] - before[1][0]  # Matroska has no negative times: sound that begins before 0 shifts everything
    assert 0 <= late < 0.05 and np.allclose(np.array(after[1]) - late, before[1], atol=0.0011)
    sounds = sound_packets(source), sound_packets(tmp_path / name)
    assert len(sounds[0]) > 40 and [data for _, data in sounds[0]] == [data for _, data in sounds[1]]
    assert np.allclose([time for time, _ in sounds[1]], [time + late for time, _ in sounds[0]], atol=0.0011)


@pytest.mark.parametrize("matrix", [1, 6, 2])
def test_lightness_comes_back_bit_for_bit(tmp_path: Path, pictures: list[Tensor], matrix: int) -> None:
    """What no face touches is changed by the encoder alone: here by none."""
    source = make_film(tmp_path / "in.mp4", pictures[:3], matrix=matrix)
    copy(source, tmp_path / "out.mkv", codec="ffv1")
    with av.open(str(source)) as one, av.open(str(tmp_path / "out.mkv")) as other:
        for a, b in zip(one.decode(video=0), other.decode(video=0)):
            assert a.colorspace == b.colorspace
            luma, chroma = (np.abs(_plane(a, n) - _plane(b, n)) for n in (0, 1))
            assert luma.max() == 0 and chroma.mean() < 0.6


def _plane(frame: Any, number: int) -> Any:
    return np.frombuffer(frame.planes[number], np.uint8).astype(int)


def test_a_variable_frame_rate_is_kept(tmp_path: Path, pictures: list[Tensor]) -> None:
    times = np.cumsum([20, 60, 33] * 10).tolist()
    source = make_film(tmp_path / "in.mkv", pictures, times=times)
    copy(source, tmp_path / "out.mp4")
    assert np.allclose(read(tmp_path / "out.mp4")[1], read(source)[1], atol=1e-6)
    assert np.allclose(np.diff(read(source)[1]), np.diff(times) / 1000)


def test_ten_bits_stay_ten(tmp_path: Path, pictures: list[Tensor]) -> None:
    source = make_film(tmp_path / "in.mp4", pictures[:5], pixel_format="yuv420p10le")
    copy(source, tmp_path / "out.mp4", quality=0)
    with open_film(tmp_path / "out.mp4") as film:
        assert film.coding.pixel_format == "yuv420p10le" and film.coding.bits == 10
    assert _psnr(read(source)[0], read(tmp_path / "out.mp4")[0]) > 45


def test_odd_sides_and_no_sound(tmp_path: Path, pictures: list[Tensor]) -> None:
    odd = [picture[:, :95, :127] for picture in pictures[:5]]
    source = make_film(tmp_path / "in.mp4", odd, pixel_format="yuv444p", sound="")
    copy(source, tmp_path / "out.mp4", quality=4)
    assert read(tmp_path / "out.mp4")[0][0].shape == (3, 95, 127)
    assert sound_packets(tmp_path / "out.mp4") == []


@pytest.mark.parametrize(
    ("pixel_format", "size", "stored"),
    [("yuv420p", (3, 98, 130), "yuv420p"), ("yuv444p", (3, 99, 131), "yuv444p"), ("yuv422p", (3, 98, 130), "yuv422p")],
)
def test_a_film_enlarged_to_odd_sides_keeps_its_chroma_sampling(
    tmp_path: Path, pictures: list[Tensor], pixel_format: str, size: tuple[int, ...], stored: str
) -> None:
    """Many players refuse H.264 with more chroma samples than half of the rows and columns have."""
    even = make_film(tmp_path / "even.mp4", pictures[:5], pixel_format=pixel_format)
    with open_film(even) as film, FilmWriter(tmp_path / "larger.mp4", film) as writer:
        for number in range(3):
            writer.write(torch.rand(3, 99, 131), number * 640)
    with open_film(tmp_path / "larger.mp4") as film:
        assert film.coding.pixel_format == stored and next(film.frames()).pixels.shape == size


def test_a_phone_held_upright_gives_upright_pictures(tmp_path: Path, pictures: list[Tensor]) -> None:
    source = make_film(tmp_path / "in.mp4", pictures[:5])
    upright = read(source)[0][0]
    _redisplay(source, _matrix(0, 1, 0, -1, 0, 0, 0, 0, 1))
    shown = read(source)[0][0]
    assert torch.equal(shown, torch.rot90(upright, -1, (1, 2)))
    with open_film(source) as film:
        assert film.size == (128, 96)
    copy(source, tmp_path / "out.mp4", quality=4)
    assert _psnr([shown], read(tmp_path / "out.mp4")[0][:1]) > 40


def _redisplay(film: Path, matrix: bytes) -> None:
    """Puts `matrix` in the place of the MP4's own."""
    data = film.read_bytes()
    plain = _matrix(1, 0, 0, 0, 1, 0, 0, 0, 1)
    at = data.index(plain, data.index(b"tkhd"))
    film.write_bytes(data[:at] + matrix + data[at + len(plain) :])


def _matrix(*values: int) -> bytes:
    """A display matrix as MP4 has it: fixed-point numbers 16.16, and 2.30 in the last column."""
    shifts = [30 if place % 3 == 2 else 16 for place in range(9)]
    return b"".join((value << shift).to_bytes(4, "big", signed=True) for value, shift in zip(values, shifts))


TURNS = [(a, b, c, d) for a, b, c, d in product((1, 0, -1), repeat=4) if abs(a * d - b * c) == 1 and not a * c + b * d]


@pytest.mark.parametrize("rows", TURNS)
def test_a_mirrored_film_is_shown_as_its_matrix_says(tmp_path: Path, pictures: list[Tensor], rows: Any) -> None:
    """Each pixel (x, y) belongs at (a x + c y, b x + d y), up to a shift."""
    a, b, c, d = rows
    source = make_film(tmp_path / "in.mp4", pictures[:2], sound="")
    picture = read(source)[0][0]
    _redisplay(source, _matrix(a, b, 0, c, d, 0, 0, 0, 1))
    y, x = torch.meshgrid(torch.arange(96), torch.arange(128), indexing="ij")
    to_x, to_y = a * x + c * y, b * x + d * y
    to_x, to_y = to_x - to_x.min(), to_y - to_y.min()
    wanted = torch.empty(3, int(to_y.max()) + 1, int(to_x.max()) + 1)
    wanted[:, to_y, to_x] = picture
    assert torch.equal(read(source)[0][0], wanted)


def test_a_transport_stream_begins_with_its_first_frame(tmp_path: Path, pictures: list[Tensor]) -> None:
    source = make_film(tmp_path / "in.ts", pictures)
    copy(source, tmp_path / "out.mp4", quality=4)
    frames, times = read(tmp_path / "out.mp4")
    assert _psnr(frames, pictures) > 35
    assert times[0] < 0.1  # the stream's own clock begins at 1.4 s


def test_a_part_between_keyframes_has_the_frames_of_the_whole(tmp_path: Path, pictures: list[Tensor]) -> None:
    for suffix in (".mp4", ".mkv"):
        with open_film(make_film(tmp_path / f"in{suffix}", pictures)) as film:
            whole = list(film.frames())
            keys = [time for time, is_key in film.times() if is_key]
            assert keys == [whole[n].pts for n in (0, 10, 20)]
            for first, last in ((keys[1], keys[2]), (whole[13].pts, whole[27].pts), (whole[0].pts, None)):
                part = list(film.frames(first, last))
                wanted = [f for f in whole if f.pts >= first and (last is None or f.pts < last)]
                assert [f.pts for f in part] == [f.pts for f in wanted]
                assert all(torch.equal(a.pixels, b.pixels) for a, b in zip(part, wanted))


def test_a_truncated_film_gives_what_there_is_and_says_so(tmp_path: Path, pictures: list[Tensor]) -> None:
    source = make_film(tmp_path / "in.mkv", pictures)
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 3])
    with open_film(source) as film, FilmWriter(tmp_path / "out.mp4", film) as writer:
        for frame in film.frames():
            writer.write(frame.pixels, frame.pts, frame.duration)
    assert len(film.problems) == 1 and "s of 1.2 s" in film.problems[0]
    assert 0 < len(read(tmp_path / "out.mp4")[0]) < 25


def test_a_film_goes_on_after_a_damaged_place(tmp_path: Path, pictures: list[Tensor]) -> None:
    source = make_film(tmp_path / "in.mkv", pictures, sound="", codec="ffv1")
    whole = read(source)
    data = bytearray(source.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4000] = bytes(4000)
    source.write_bytes(data)
    with open_film(source) as film:
        frames = {round(float(frame.pts * film.time_base), 3): frame.pixels for frame in film.frames()}
    assert 20 <= len(frames) < 30
    sound = [time for pixels, time in zip(*whole) if time in frames and torch.equal(frames[time], pixels)]
    assert len(sound) >= 20 and sound[0] == whole[1][0] and sound[-1] == whole[1][-1]


@pytest.mark.parametrize(
    ("name", "content", "wanted"),
    [
        ("text.mp4", b"not a film at all" * 50, "not a sound film"),
        ("empty.mkv", b"", "not a sound film"),
        ("half.mp4", None, "not a sound film"),
        ("codec.mkv", None, "a codec that PyAV does not know"),
        ("sound.m4a", None, "holds audio; wanted a video"),
    ],
)
def test_what_is_no_film_is_one_clear_error(
    tmp_path: Path, pictures: list[Tensor], name: str, content: bytes | None, wanted: str
) -> None:
    path = tmp_path / name
    if name == "sound.m4a":
        with av.open(str(path), "w") as container:
            tone = container.add_stream("aac", rate=44100, layout="mono")
            container.mux([*tone.encode(_tone(0)), *tone.encode(None)])
    elif content is None:
        data = make_film(path, pictures[:5]).read_bytes()
        content = data[: len(data) // 2] if name == "half.mp4" else data.replace(b"V_MPEG4/ISO/AVC", b"V_NOSUCH/CODEC1")
        path.write_bytes(content)
    else:
        path.write_bytes(content)
    with pytest.raises(UnsupportedFilmError, match=wanted) as caught:
        open_film(path)
    assert str(path) in str(caught.value)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"none\.mp4"):
        open_film(tmp_path / "none.mp4")
    with pytest.raises(UnsupportedFilmError, match="a folder"):
        open_film(tmp_path)


@pytest.mark.parametrize(
    ("name", "writing", "error", "wanted"),
    [
        ("out.gif", {}, UnsupportedFilmError, r"wanted a name ending in \.mp4"),
        ("out.mp4", {"codec": "divx"}, InvalidOptionError, "codec is 'divx'; wanted one of h264, h265, ffv1"),
        ("out.mp4", {"quality": 99}, InvalidOptionError, r"quality \(crf\) of a film is 99"),
        ("out.mp4", {"codec": "ffv1"}, UnsupportedFilmError, r"ffv1 wants a name ending in \.mkv"),
        ("no/folder/out.mp4", {}, OSError, r"out\.mp4"),
    ],
)
def test_what_cannot_be_written_is_one_clear_error(
    tmp_path: Path, pictures: list[Tensor], name: str, writing: dict[str, Any], error: type[Exception], wanted: str
) -> None:
    source = make_film(tmp_path / "in.mp4", pictures[:5])
    with pytest.raises(error, match=wanted):
        copy(source, tmp_path / name, **writing)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


@pytest.mark.parametrize(
    ("name", "codec"), [("o.mp4", "h264"), ("o.mp4", "h265"), ("o.mkv", "h264"), ("o.mkv", "ffv1")]
)
def test_a_last_picture_that_is_held_is_held(tmp_path: Path, pictures: list[Tensor], name: str, codec: str) -> None:
    """As the last one of a slide show or a screen recording."""
    if not hasattr(av.VideoFrame, "duration"):
        pytest.skip("this PyAV does not tell how long a frame is shown")
    brief, held = make_film(tmp_path / "in.mp4", pictures[:12], sound=""), tmp_path / "held.mp4"
    with av.open(str(brief)) as container, av.open(str(held), "w") as target:
        stream = target.add_stream_from_template(container.streams.video[0])
        packets = [packet for packet in container.demux(video=0) if packet.dts is not None]
        packets[-1].duration = round(3 / packets[-1].time_base)
        for packet in packets:
            packet.stream = stream
            target.mux(packet)
    for source in (held, tmp_path / name):
        if source == held:
            copy(held, tmp_path / name, codec=codec)
        with av.open(str(source)) as container:
            assert container.duration / 1e6 == pytest.approx(3.44, abs=0.01)
        assert len(read(source)[0]) == 12  # and nothing is said to be missing


@pytest.mark.parametrize(("name", "codec"), [("o.mp4", "h264"), ("o.mov", "h265"), ("o.mkv", "h264")])
def test_a_steady_rate_stays_what_it_is(tmp_path: Path, pictures: list[Tensor], name: str, codec: str) -> None:
    """The last packet of a film with B-frames is not the last to be shown."""
    source = make_film(tmp_path / "in.mkv", pictures[:12], sound="")
    copy(source, tmp_path / name, codec=codec)
    with av.open(str(tmp_path / name)) as container:
        assert container.streams.video[0].average_rate == 25
        assert container.duration / 1e6 == pytest.approx(0.48, abs=0.01)


def test_an_avi_that_has_been_cut_is_named(tmp_path: Path, pictures: list[Tensor]) -> None:
    source = make_film(tmp_path / "in.avi", pictures[:30], sound="mp2", codec="mjpeg", pixel_format="yuvj420p")
    assert len(read(source)[0]) == 30  # and nothing is said to be missing
    data = source.read_bytes()
    source.write_bytes(data[: len(data) // 2])
    with open_film(source) as film:
        assert 0 < len(list(film.frames())) < 20
        assert len(film.problems) == 1 and re.match(r"the video ends at 0\.\d s of 1\.2 s", film.problems[0])


def test_an_avi_that_ends_with_the_last_picture_again_is_whole(tmp_path: Path, pictures: list[Tensor]) -> None:
    source = make_film(tmp_path / "in.avi", pictures[:30], sound="", codec="mjpeg", pixel_format="yuvj420p")
    data = bytearray(source.read_bytes())
    at, chunks = data.index(b"idx1") + 8, 30
    for number in range(chunks - 15, chunks):  # their lengths in the index, after name and flags and place
        data[at + 16 * number + 12 : at + 16 * number + 16] = bytes(4)
    source.write_bytes(data)
    assert 15 <= len(read(source)[0]) <= 30  # and nothing is said to be missing


def test_an_avi_that_went_through_a_pipe_is_whole(tmp_path: Path, pictures: list[Tensor]) -> None:
    class Pipe:
        """Takes what is written, and cannot go back."""

        def __init__(self) -> None:
            self.data = bytearray()

        def write(self, data: bytes) -> int:
            self.data += data
            return len(data)

    made = make_film(tmp_path / "seekable.avi", pictures[:30], sound="", codec="mjpeg", pixel_format="yuvj420p")
    pipe, piped = Pipe(), tmp_path / "piped.avi"
    with av.open(str(made)) as source, av.open(pipe, "w", format="avi") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    piped.write_bytes(pipe.data)
    with open_film(piped) as film:
        assert film.count == 0 and len(list(film.frames())) == 30 and film.problems == []


@pytest.mark.parametrize("name", ["o.mp4", "o.mkv"])
def test_a_pause_stays_where_it_is(tmp_path: Path, pictures: list[Tensor], name: str) -> None:
    """An MP4 with B-frames gives its length to another picture."""
    times = [n * 40 for n in range(12)] + [4000 + n * 40 for n in range(6)]
    source = make_film(tmp_path / "in.mp4", pictures[:18], times=times, sound="")
    copy(source, tmp_path / name)
    with open_film(source) as film:
        shown = [(float(f.pts * film.time_base), float(f.duration * film.time_base)) for f in film.frames()]
    assert shown[11][1] == pytest.approx(4 - 0.44, abs=0.002) and all(d < 0.05 for t, d in shown if t > 0.45)
    assert shown[-1][1] == pytest.approx(0.04, abs=0.002)
    with av.open(str(tmp_path / name)) as container:
        assert container.duration / 1e6 == pytest.approx(4.24, abs=0.01)


def test_joined_films_are_restored_to_the_end(tmp_path: Path, pictures: list[Tensor]) -> None:
    """As by `cat`: all clocks begin anew."""
    part = make_film(tmp_path / "part.ts", pictures[:12])
    (tmp_path / "joined.ts").write_bytes(part.read_bytes() * 2)
    for name in ("out.mkv", "out.mp4"):
        copy(tmp_path / "joined.ts", tmp_path / name)
        frames, times = read(tmp_path / name)
        assert len(frames) == 24 and np.diff(times) == pytest.approx(0.04, abs=0.002)
        assert _psnr(frames[12:], frames[:12]) > 30
        sounds = sound_packets(tmp_path / name)
        assert [data for _, data in sounds] == [data[7:] for _, data in sound_packets(part)] * 2  # without ADTS headers
        assert min(np.diff([time for time, _ in sounds])) > 0.02 and abs(sounds[-1][0] - times[-1]) < 0.1


@pytest.mark.parametrize(
    ("step", "times", "wanted"),
    [
        (0, [0, 1, 2, 2, 3, 4], [0, 1, 2, 2, 3, 4]),  # of TrueHD in Matroska's milliseconds
        (1, [0, 20, 40, 40, 60, 30, 80], [0, 20, 40, 41, 60, 61, 80]),  # MP4 takes no equal ones
        (1, [0, 20, 1400, 0, 20], [0, 20, 1400, 1420, 1440]),  # another film was joined to it
    ],
)
def test_times_that_stumble_delay_no_sound(step: int, times: list[int], wanted: list[int]) -> None:
    clock = Clock(step)
    assert [clock.time(time, 20, 1000) for time in times] == wanted


def test_what_is_damaged_is_told_of_a_part_too(tmp_path: Path, pictures: list[Tensor], spoiled: Any) -> None:
    """But not what comes before it or after it, though that is decoded as well."""
    whole = make_film(tmp_path / "whole.mkv", pictures, sound="", codec="ffv1")
    with open_film(spoiled(whole, tmp_path / "in.mkv", 12)) as film:  # no frame is sound up to the next keyframe
        times = [time for time, _ in film.times()]
        for first, last, damaged in ((10, 20, 8), (10, 15, 3), (10, 12, 0), (15, 20, 5), (20, 25, 0)):
            film.problems.clear()
            list(film.frames(times[first], times[last]))
            assert film.problems == [f"{damaged} frames are damaged"][: damaged > 0]


def test_joined_films_have_no_times_to_be_cut_at(tmp_path: Path, pictures: list[Tensor]) -> None:
    part = make_film(tmp_path / "part.ts", pictures[:12])
    (tmp_path / "joined.ts").write_bytes(part.read_bytes() * 2)
    with open_film(part) as one, open_film(tmp_path / "joined.ts") as two:
        assert len(one.times()) == 12 and two.times() == []


def test_pictures_of_another_size_are_left_out_and_named(tmp_path: Path, pictures: list[Tensor]) -> None:
    wide, low = make_film(tmp_path / "1.ts", pictures[:12]), [picture[:, :64] for picture in pictures[:6]]
    data = wide.read_bytes() + make_film(tmp_path / "2.ts", low).read_bytes()
    (tmp_path / "in.ts").write_bytes(data + wide.read_bytes())
    with open_film(tmp_path / "in.ts") as film:
        shapes = [tuple(frame.pixels.shape) for frame in film.frames()]
        assert set(shapes) == {(3, 96, 128)} and 20 <= len(shapes) <= 24
        assert "pictures of 128 x 64 px are left out, as the first has 128 x 96" in film.problems


@pytest.mark.parametrize("pixel_format", ["rgb24", "rgb48be", "pal8"])
def test_films_in_rgb_stay_so_without_loss(tmp_path: Path, pictures: list[Tensor], pixel_format: str) -> None:
    source = _rgb_film(tmp_path / "in.mov", pictures[:3], pixel_format)
    copy(source, tmp_path / "out.mkv", codec="ffv1")
    assert all(torch.equal(a, b) for a, b in zip(read(source)[0], read(tmp_path / "out.mkv")[0]))
    copy(source, tmp_path / "out.mp4", quality=0)
    with open_film(tmp_path / "out.mp4") as film:
        assert film.coding.pixel_format.startswith("yuv444p")
    assert _psnr(read(source)[0], read(tmp_path / "out.mp4")[0]) > 40


def _rgb_film(path: Path, frames: Sequence[Tensor], pixel_format: str) -> Path:
    with av.open(str(path), "w") as container:
        video = container.add_stream("png", rate=25)
        video.height, video.width, video.pix_fmt = *frames[0].shape[1:], pixel_format
        for number, pixels in enumerate(frames):
            samples = (pixels * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
            frame = av.VideoFrame.from_ndarray(samples, format="rgb24")
            if pixel_format == "pal8":
                palette = np.full((256, 4), 255, np.uint8)
                palette[:, 1:] = np.arange(256)[:, None]
                frame = av.VideoFrame.from_ndarray((samples[:, :, 0].copy(), palette), format="pal8")
            frame = frame.reformat(format=pixel_format)
            frame.pts = number
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return path


def test_a_name_with_a_colon_is_no_protocol(tmp_path: Path, pictures: list[Tensor], monkeypatch: Any) -> None:
    make_film(tmp_path / "12:30.mp4", pictures[:3])
    (tmp_path / "13:00").mkdir()
    monkeypatch.chdir(tmp_path)
    copy(Path("12:30.mp4"), Path("13:00/out.mp4"))
    assert len(read(Path("13:00/out.mp4"))[0]) == 3 and sound_packets(tmp_path / "13:00/out.mp4")


def test_an_interlaced_film_is_told_of(tmp_path: Path, pictures: list[Tensor], caplog: Any) -> None:
    def told(film: Path) -> bool:
        caplog.clear()
        with open_film(film) as opened:
            opened.warn()
        return f"{film} is interlaced" in caplog.text

    with av.open(str(tmp_path / "in.mpg"), "w") as container:
        video = container.add_stream("mpeg2video", rate=25)
        video.height, video.width, video.pix_fmt = 96, 128, "yuv420p"
        video.codec_context.flags |= (1 << 18) | (1 << 29)  # AV_CODEC_FLAG_INTERLACED_DCT and _ME
        for picture in pictures[:4]:
            samples = (picture * 255).byte().permute(1, 2, 0).contiguous().numpy()
            container.mux(video.encode(av.VideoFrame.from_ndarray(samples, format="rgb24").reformat(format="yuv420p")))
        container.mux(video.encode(None))
    assert told(tmp_path / "in.mpg") and not told(make_film(tmp_path / "in.mp4", pictures[:3]))


def test_sound_that_the_container_cannot_hold_is_named(tmp_path: Path, pictures: list[Tensor]) -> None:
    source = make_film(tmp_path / "in.mkv", pictures[:5], sound="flac")
    with pytest.raises(UnsupportedFilmError, match=r"h264 video and flac sound in \.mov.*\.mkv holds all"):
        copy(source, tmp_path / "out.mov")
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]
    copy(source, tmp_path / "out.mkv")
    assert [data for _, data in sound_packets(source)] == [data for _, data in sound_packets(tmp_path / "out.mkv")]


def test_nothing_is_left_of_a_film_that_is_stopped(tmp_path: Path, pictures: list[Tensor]) -> None:
    source = make_film(tmp_path / "in.mp4", pictures[:5])
    (tmp_path / "out.mp4").write_bytes(b"the old one")
    with pytest.raises(KeyboardInterrupt), open_film(source) as film, FilmWriter(tmp_path / "out.mp4", film) as writer:
        writer.write(pictures[0], 0)
        raise KeyboardInterrupt
    assert (tmp_path / "out.mp4").read_bytes() == b"the old one"
    assert len(list(tmp_path.iterdir())) == 2


def test_apples_players_are_told_the_name_they_know_h265_by(tmp_path: Path, pictures: list[Tensor]) -> None:
    source = make_film(tmp_path / "in.mp4", pictures[:3], sound="")
    copy(source, tmp_path / "out.mp4", codec="h265")
    with av.open(str(tmp_path / "out.mp4")) as film:
        assert film.streams.video[0].codec_context.codec_tag == "hvc1"


def test_an_mp4_plays_while_it_is_loaded(tmp_path: Path, pictures: list[Tensor]) -> None:
    source = make_film(tmp_path / "in.mp4", pictures[:4])
    copy(source, tmp_path / "out.mp4")
    data = (tmp_path / "out.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_what_a_file_says_of_itself_is_kept_but_for_its_kind(tmp_path: Path, pictures: list[Tensor]) -> None:
    plain = make_film(tmp_path / "plain.mp4", pictures[:3])
    with av.open(str(plain)) as source, av.open(str(tmp_path / "in.mp4"), "w") as told:
        told.metadata["title"] = "A film"
        pairs = {stream: told.add_stream_from_template(stream) for stream in source.streams}
        for stream, copied in pairs.items():
            if stream.type == "audio":
                copied.metadata["language"] = "deu"
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = pairs[packet.stream]
                told.mux(packet)
    copy(tmp_path / "in.mp4", tmp_path / "out.mkv")
    with av.open(str(tmp_path / "out.mkv")) as film:
        metadata = {key.lower(): value for key, value in film.metadata.items()}
        assert metadata["title"] == "A film" and not {"major_brand", "compatible_brands"} & set(metadata)
        assert film.streams.audio[0].language in ("deu", "ger")


@pytest.mark.parametrize("turned", [False, True])
def test_pixels_that_are_not_square_stay_so(tmp_path: Path, pictures: list[Tensor], turned: bool) -> None:
    with av.open(str(tmp_path / "in.mp4"), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.height, video.width, video.pix_fmt = 96, 128, "yuv420p"
        video.codec_context.sample_aspect_ratio = Fraction(4, 3)
        samples = (pictures[0] * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
        container.mux(video.encode(av.VideoFrame.from_ndarray(samples, format="rgb24")))
        container.mux(video.encode(None))
    with av.open(str(tmp_path / "in.mp4")) as film:
        assert film.streams.video[0].sample_aspect_ratio == Fraction(4, 3)
    data = (tmp_path / "in.mp4").read_bytes()
    if turned:
        _redisplay(tmp_path / "in.mp4", _matrix(0, 1, 0, -1, 0, 0, 0, 0, 1))
        assert (tmp_path / "in.mp4").read_bytes() != data
    copy(tmp_path / "in.mp4", tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as film:
        assert film.streams.video[0].sample_aspect_ratio == (Fraction(3, 4) if turned else Fraction(4, 3))


def test_films_that_do_not_tell_are_taken_for_what_their_size_suggests() -> None:
    bt709, bt601 = 1, 6
    assert [Coding().matrix_for(height) for height in (480, 576, 720, 1080)] == [bt601, bt601, bt709, bt709]
    assert Coding(matrix=bt601).matrix_for(1080) == bt601


def test_odd_sides_with_halved_chroma_stay_odd(tmp_path: Path, pictures: list[Tensor]) -> None:
    odd = [picture[:, :95, :127] for picture in pictures[:3]]
    source = make_film(tmp_path / "in.mkv", odd, sound="", codec="ffv1")
    copy(source, tmp_path / "out.mkv", codec="ffv1")
    assert read(tmp_path / "out.mkv")[0][0].shape == (3, 95, 127)


def test_a_cover_is_not_the_film(tmp_path: Path) -> None:
    attached_picture = 1 << 10  # AV_DISPOSITION_ATTACHED_PIC
    cover, film = (SimpleNamespace(disposition=flags, codec_context=object()) for flags in (attached_picture, 0))
    container = SimpleNamespace(streams=SimpleNamespace(video=[cover, film]))
    assert opening._video(container, tmp_path) is film


def test_a_whole_film_that_begins_late_is_whole(tmp_path: Path, pictures: list[Tensor]) -> None:
    """As FFmpeg's segments: Matroska's length is then the time of its end."""
    times = [10_000 + 40 * number for number in range(30)]
    source = make_film(tmp_path / "in.mkv", pictures, times=times, sound="")
    assert len(read(source)[0]) == 30  # and no problems


def test_transparency_that_goes_is_told_of(tmp_path: Path, pictures: list[Tensor], caplog: Any) -> None:
    source = make_film(tmp_path / "in.mkv", pictures[:2], pixel_format="yuva420p", codec="ffv1", sound="")
    for film, told in ((source, True), (make_film(tmp_path / "in.mp4", pictures[:2]), False)):
        caplog.clear()
        with open_film(film) as opened:
            opened.warn()
        assert ("transparency" in caplog.text) == told
