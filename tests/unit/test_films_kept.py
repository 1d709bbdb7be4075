"""What else than pictures and times a film keeps: where its colours lie, its light, its tracks and its chapters."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gpen2048.films.light import Light
from gpen2048.films.opening import open_film
from gpen2048.films.writing import FilmWriter
from numpy.typing import NDArray

av: Any = pytest.importorskip("av", reason="needs PyAV")

HEIGHT, WIDTH = 64, 96
BT709, BT2020, PQ = 1, 9, 16
DEFAULT, COMMENT = 1, 8
MASTERED = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"  # of a film in P3 for 1000 cd/m²
TITLES = ("Commentary", "Film")
Planes = list[NDArray[np.uint8]]


def waves() -> Planes:
    """Lightness, and colours that change from column to column and from row to row."""
    across, down = np.arange(WIDTH // 2)[None], np.arange(HEIGHT // 2)[:, None]
    across, down = np.sin(across / 3) + 0 * down, np.sin(down / 3) + 0 * across
    flat = np.full((HEIGHT, WIDTH), 120, np.uint8)
    return [flat, *(np.rint(128 + 60 * wave).astype(np.uint8) for wave in (across, down))]


def frame_of(planes: Planes, number: int) -> Any:
    frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
    frame.colorspace = BT709
    for plane, samples in zip(frame.planes, planes):
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        rows[:, : plane.width] = samples
        plane.update(rows)
    frame.pts, frame.time_base = number, Fraction(1, 25)
    return frame


def write(
    path: Path,
    add: Callable[[Any], list[Any]],
    encoder: str = "libx264",
    primaries: int = BT709,
    transfer: int = BT709,
    frames: int = 25,
    **options: str,
) -> Path:
    """Waves, for a second unless told; `add` gives the container tracks of sound, each of which gets a tone."""
    with av.open(str(path), "w") as container:
        video = container.add_stream(encoder, rate=25, options={"crf": "0", **options})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        context = video.codec_context
        context.colorspace, context.color_primaries, context.color_trc = BT709, primaries, transfer
        tracks = add(container)
        for number in range(frames):
            container.mux(video.encode(frame_of(waves(), number)))
            for track in tracks:
                tone = av.AudioFrame.from_ndarray(np.zeros((1, 1764), np.int16), format="s16", layout="mono")
                tone.sample_rate, tone.pts, tone.time_base = 44100, number * 1764, Fraction(1, 44100)
                container.mux(track.encode(tone))
        for stream in (video, *tracks):
            container.mux(stream.encode(None))
    return path


def nothing(_: Any) -> list[Any]:
    return []


def copy(source: Path, target: Path, **writing: Any) -> Path:
    with open_film(source) as film, FilmWriter(target, film, **writing) as writer:
        for frame in film.frames():
            writer.write(frame.pixels, frame.pts, frame.duration)
    return target


def planes_of(path: Path) -> list[NDArray[np.float64]]:
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        rows = [np.frombuffer(plane, np.uint8).reshape(plane.height, -1) for plane in frame.planes]
        return [samples[:, : plane.width].astype(float) for samples, plane in zip(rows, frame.planes)]


def moved(before: NDArray[np.float64], after: NDArray[np.float64], axis: int) -> float:
    """How many samples further `after` shows what `before` does, by least squares."""
    slope = np.gradient(before, axis=axis)
    return -float(((after - before) * slope).sum() / (slope * slope).sum())


def test_colours_stay_where_they_are_however_often_a_film_is_written(tmp_path: Path) -> None:
    """H.264 has chroma to the left of where RGB makes it: read there and written in the middle, it would wander."""
    film = write(tmp_path / "0.mp4", nothing)
    before = planes_of(film)
    for number in (1, 2, 3):
        film = copy(film, tmp_path / f"{number}.mp4", quality=0)
    after = planes_of(film)
    assert np.abs(after[0] - before[0]).max() <= 1
    assert abs(moved(before[1], after[1], 1)) < 0.02 and abs(moved(before[2], after[2], 0)) < 0.02


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
def test_each_track_of_sound_keeps_its_part(tmp_path: Path, suffix: str) -> None:
    """The commentary is not what is heard afterwards."""

    def tracks(container: Any) -> list[Any]:
        added = [container.add_stream("aac", rate=44100, layout="mono") for _ in TITLES]
        for track, title, part in zip(added, TITLES, (COMMENT, DEFAULT)):
            track.metadata["title"], track.disposition = title, part
        return added

    source = write(tmp_path / f"in{suffix}", tracks)
    told = [sound_tracks(path) for path in (source, copy(source, tmp_path / f"out{suffix}"))]
    assert told[0] == told[1] and told[0][1][1] == DEFAULT
    if suffix == ".mkv":  # older FFmpeg writes no titles into the others
        assert [title for title, _ in told[0]] == list(TITLES)


def sound_tracks(path: Path) -> list[tuple[str, int]]:
    with av.open(str(path)) as container:
        return [
            (str(s.metadata.get("title", s.metadata.get("name"))), int(getattr(s.disposition, "value", s.disposition)))
            for s in container.streams.audio
        ]


def test_the_pictures_keep_their_title_and_language(tmp_path: Path) -> None:
    def name(container: Any) -> list[Any]:
        container.streams.video[0].metadata.update({"title": "Director's cut", "language": "fra"})
        return []

    with av.open(str(copy(write(tmp_path / "in.mkv", name), tmp_path / "out.mkv"))) as film:
        told = film.streams.video[0].metadata
        assert told["title"] == "Director's cut" and told["language"] in ("fra", "fre")


def test_chapters_in_other_letters_do_not_stop_a_film(tmp_path: Path) -> None:
    if not hasattr(av.container.OutputContainer, "set_chapters"):
        pytest.skip("this PyAV knows no chapters")

    def chapter(container: Any) -> list[Any]:
        whole = {"id": 1, "start": 0, "end": 1000, "time_base": Fraction(1, 1000), "metadata": {"title": "Uno"}}
        container.set_chapters([whole])
        return []

    source = write(tmp_path / "in.mkv", chapter)
    source.write_bytes(source.read_bytes().replace(b"Uno", b"U\xf1o"))
    with open_film(source) as film, FilmWriter(tmp_path / "out.mkv", film) as writer:
        for frame in film.frames():
            writer.write(frame.pixels, frame.pts, frame.duration)
        left_out = film.problems == ["chapters whose titles are not UTF-8 were left out"]  # by older PyAV
        assert left_out or not film.problems
    with av.open(str(tmp_path / "out.mkv"), metadata_errors="surrogateescape") as container:
        titles = [told["metadata"]["title"] for told in container.chapters()]
    assert titles == ([] if left_out else ["U\udcf1o"])
    assert len(planes_of(tmp_path / "out.mkv")) == 3


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".avi"])
def test_titles_in_other_letters_are_kept_byte_by_byte(tmp_path: Path, suffix: str) -> None:
    """Latin-1, as old cameras and tools wrote it."""

    def name(container: Any) -> list[Any]:
        container.metadata["title"] = "Caf\u00e9"
        return []

    source = write(tmp_path / f"in{suffix}", name)
    content = source.read_bytes()
    assert content.count(b"Caf\xc3\xa9") == 1
    source.write_bytes(content.replace(b"Caf\xc3\xa9", b"Caf\xe9s"))
    with av.open(str(copy(source, tmp_path / "out.mkv")), metadata_errors="surrogateescape") as film:
        assert film.metadata["title"] == "Caf\udce9s"


def test_sound_lies_beside_its_pictures(tmp_path: Path) -> None:
    """So that a player need not look for it at the file's end. FFmpeg itself puts in order what is 10 s apart."""
    source = write(tmp_path / "in.mkv", lambda c: [c.add_stream("aac", rate=44100, layout="mono")], frames=400)
    with av.open(str(copy(source, tmp_path / "out.mkv"))) as film:
        kinds = [packet.stream.type for packet in film.demux() if packet.size]
    assert kinds.count("audio") > 600 and kinds.index("audio") < 5
    half = len(kinds) // 2
    assert 0.4 < kinds[:half].count("audio") / kinds.count("audio") < 0.6


def test_chapters_are_kept(tmp_path: Path) -> None:
    if not hasattr(av.container.OutputContainer, "set_chapters"):
        pytest.skip("this PyAV knows no chapters")
    names = {"First": (0, 500), "Second": (500, 1000)}

    def chapters(container: Any) -> list[Any]:
        millisecond = Fraction(1, 1000)
        facts = [
            {"id": n, "start": start, "end": end, "time_base": millisecond, "metadata": {"title": name}}
            for n, (name, (start, end)) in enumerate(names.items(), 1)
        ]
        container.set_chapters(facts)
        return []

    source = write(tmp_path / "in.mkv", chapters)
    with av.open(str(copy(source, tmp_path / "out.mp4"))) as film:
        found = {
            c["metadata"]["title"]: tuple(round(1000 * c[edge] * c["time_base"]) for edge in ("start", "end"))
            for c in film.chapters()
        }
    assert found == names


@pytest.mark.parametrize("codec", ["h265", "h264"])
def test_what_hdr_says_of_its_light_is_kept(tmp_path: Path, codec: str) -> None:
    told = {"x265-params": f"log-level=error:hdr10=1:master-display={MASTERED}:max-cll=1000,400"}
    source = write(tmp_path / "in.mp4", nothing, "libx265", primaries=BT2020, transfer=PQ, **told)
    for path in (source, copy(source, tmp_path / "out.mp4", codec=codec)):
        with open_film(path) as film:
            assert film.light == Light(MASTERED, "1000,400")
            assert (film.coding.primaries, film.coding.transfer) == (BT2020, PQ)
    with open_film(write(tmp_path / "plain.mp4", nothing)) as film:
        assert film.light == Light() and film.light.parameters("libx265") == []
