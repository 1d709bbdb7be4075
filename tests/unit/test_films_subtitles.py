"""Subtitles, and the fonts they are set in, go along with a film as they are."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gpen2048.batch.film_joining import JoiningWriter, PieceWriter
from gpen2048.films.opening import open_film
from gpen2048.films.restoring import restore_film
from gpen2048.films.writing import FilmWriter
from gpen2048.inference import Network
from gpen2048.restorer import FaceRestorer

av: Any = pytest.importorskip("av", reason="needs PyAV")

HEIGHT, WIDTH = 64, 96
FORCED = 64  # AV_DISPOSITION_FORCED (libavformat/avformat.h)
SRT = """1
00:00:00,200 --> 00:00:00,600
Guten Tag

2
00:00:00,800 --> 00:00:01,500
Grüße
"""
LINES = [(200, 400, "Guten Tag"), (800, 700, "Grüße")]  # from when in ms, for how long, what
FONT = b"\x00\x01\x00\x00 no real font"
Add = Callable[[Any], list[tuple[Any, list[Any]]]]


def make_film(path: Path, add: Add, late: int = 0) -> Path:
    """Two seconds of grey after `late` frames of none.

    `add` gives the container streams, and their packets, which lie before the pictures.
    """
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for stream, packets in add(container):
            for packet in packets:
                packet.stream = stream
                container.mux(packet)
        for number in range(50):
            grey = av.VideoFrame.from_ndarray(np.full((HEIGHT, WIDTH, 3), 120, np.uint8), format="rgb24")
            grey.pts, grey.time_base = late + number, Fraction(1, 25)
            container.mux(video.encode(grey))
        container.mux(video.encode(None))
    return path


def srt(folder: Path, text: str = SRT) -> Add:
    (folder / "in.srt").write_text(text, encoding="utf-8")

    def add(container: Any) -> list[tuple[Any, list[Any]]]:
        with av.open(str(folder / "in.srt")) as lines:
            stream = container.add_stream_from_template(lines.streams[0])
            stream.metadata["language"], stream.disposition = "ger", FORCED
            return [(stream, [packet for packet in lines.demux() if packet.dts is not None])]

    return add


def copy(source: Path, target: Path) -> list[str]:
    """The notes of the film that was written."""
    with open_film(source) as film, FilmWriter(target, film) as writer:
        for frame in film.frames():
            writer.write(frame.pixels, frame.pts, frame.duration)
    assert not film.problems
    return film.notes


def subtitles(path: Path) -> list[tuple[int, int, str]]:
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(subtitles=0) if packet.pts is not None]
        times = [(round(1000 * p.pts * p.time_base), round(1000 * p.duration * p.time_base)) for p in packets]
        return [(*when, bytes(packet).decode()) for when, packet in zip(times, packets)]


def test_subtitles_keep_words_times_language_and_part(tmp_path: Path) -> None:
    source, target = make_film(tmp_path / "in.mkv", srt(tmp_path)), tmp_path / "out.mkv"
    assert subtitles(source) == LINES
    assert copy(source, target) == []
    assert subtitles(target) == LINES
    with av.open(str(target)) as container:
        (stream,) = container.streams.subtitles
        assert stream.metadata["language"] == "ger"
        assert int(getattr(stream.disposition, "value", stream.disposition)) & FORCED
        assert len(list(container.decode(video=0))) == 50


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_subtitles_that_the_container_cannot_hold_are_told(
    tmp_path: Path, suffix: str, tiny_passthrough: Network
) -> None:
    source, target = make_film(tmp_path / "in.mkv", srt(tmp_path)), tmp_path / f"out{suffix}"
    note = restore_film(source, target, FaceRestorer(tiny_passthrough, lambda image, threshold: [])).note
    assert note.startswith("subtitles left out (") and note.endswith("; .mkv holds most kinds")
    with av.open(str(target)) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        assert len(list(container.decode(video=0))) == 50


def test_subtitles_of_an_mp4(tmp_path: Path) -> None:
    if not hasattr(av.container.OutputContainer, "add_mux_stream"):
        pytest.skip("this PyAV writes none, but copies them")

    def add(container: Any) -> list[tuple[Any, list[Any]]]:
        packets: list[Any] = []
        for start, duration, words in [(0, 200, ""), LINES[0], (600, 200, ""), LINES[1]]:  # no gaps in 3GPP timed text
            text = words.encode()
            packet = av.Packet(len(text).to_bytes(2, "big") + text)
            packet.pts = packet.dts = start
            packet.duration, packet.time_base = duration, Fraction(1, 1000)
            packets.append(packet)
        return [(container.add_mux_stream("mov_text"), packets)]

    source, target = make_film(tmp_path / "in.mp4", add), tmp_path / "out.mp4"
    assert copy(source, target) == []
    assert subtitles(target) == subtitles(source)
    assert [(start, duration, words[2:]) for start, duration, words in subtitles(source)][1::2] == LINES


def test_fonts_are_attached_again(tmp_path: Path) -> None:
    if not hasattr(av.container.OutputContainer, "add_attachment"):
        pytest.skip("this PyAV attaches nothing")

    def add(container: Any) -> list[tuple[Any, list[Any]]]:
        container.add_attachment("letters.ttf", "font/ttf", FONT)
        return srt(tmp_path)(container)

    source = make_film(tmp_path / "in.mkv", add)
    assert copy(source, tmp_path / "out.mkv") == []
    with av.open(str(tmp_path / "out.mkv")) as container:
        (font,) = (stream for stream in container.streams if stream.type == "attachment")
        assert (font.name, font.mimetype, bytes(font.data)) == ("letters.ttf", "font/ttf", FONT)
    assert copy(source, tmp_path / "out.mov")[1] == "1 attachments left out; .mkv holds most kinds"


@pytest.mark.parametrize(("name", "kept"), [("out.mkv", LINES), ("out.mov", [])])
def test_a_film_that_is_joined_of_pieces_has_them_once(tmp_path: Path, name: str, kept: list[Any]) -> None:
    source = make_film(tmp_path / "in.mkv", srt(tmp_path))
    with open_film(source) as film, PieceWriter(tmp_path / f"piece-{name}", film) as piece:
        for frame in film.frames():
            piece.write(frame.pixels, frame.pts, frame.duration)
    assert piece.encoded and not film.notes
    with open_film(source) as film, JoiningWriter(tmp_path / name, film) as whole:
        whole.join([piece.encoded])
    assert len(film.notes) == (0 if kept else 1)
    with av.open(str(tmp_path / name)) as container:
        assert len(container.streams.subtitles) == bool(kept)
    assert not kept or subtitles(tmp_path / name) == kept


def test_subtitles_before_the_first_picture_move_nothing(tmp_path: Path) -> None:
    """Their times would be below zero, and Matroska would move all others."""
    later = "\n3\n00:00:02,000 --> 00:00:04,000\nHalf\n\n4\n00:00:04,500 --> 00:00:04,900\nWhole\n"
    source = make_film(tmp_path / "in.mkv", srt(tmp_path, SRT + later), late=75)
    assert copy(source, tmp_path / "out.mkv") == []
    assert subtitles(tmp_path / "out.mkv") == [(0, 1000, "Half"), (1500, 400, "Whole")]
    with open_film(tmp_path / "out.mkv") as film:
        assert next(film.frames()).pts == 0


def test_the_last_subtitle_has_an_end_where_the_film_has_none_for_it(tmp_path: Path) -> None:
    """As in DVDs: an MP4 would be at its end when it begins."""
    if not hasattr(av.container.OutputContainer, "add_mux_stream"):
        pytest.skip("this PyAV writes none, but copies them")

    def add(container: Any) -> list[tuple[Any, list[Any]]]:
        packets = [av.Packet(b"\0\4\0\4") for _ in range(2)]
        for packet, start in zip(packets, (0, 1500)):
            packet.pts = packet.dts = start
            packet.time_base = Fraction(1, 1000)
        return [(container.add_mux_stream("dvdsub"), packets)]

    source = make_film(tmp_path / "in.mkv", add)
    copy(source, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        shown = [packet for packet in container.demux(subtitles=0) if packet.size]
        assert [float(packet.pts * packet.time_base) for packet in shown] == [0, 1.5]
        assert float(shown[-1].duration * shown[-1].time_base) == 5
