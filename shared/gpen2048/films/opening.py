"""Opening films through PyAV, whatever is in the file."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from ..errors import UnsupportedFilmError
from ..samples import CPU
from .film_file import decode
from .frames import CONVERTED, Coding, fraction, opened, pyav, quarter_turns
from .light import Light
from .reading import NOTHING, Film

ISO_SUFFIXES = (".mp4", ".m4v", ".mov", ".3gp", ".3g2")
MPEG_SUFFIXES = (".mpg", ".mpeg", ".vob", ".ts", ".mts", ".m2ts")
FILM_SUFFIXES = (*ISO_SUFFIXES, *MPEG_SUFFIXES, ".mkv", ".webm", ".avi", ".wmv", ".flv", ".ogv")
# Of those that FFmpeg does not convert (ITU-T H.273, table 4).
MATRICES = {
    8: "YCgCo",
    10: "BT.2020 with constant luminance",
    11: "Y'D'zD'x",
    12: "chromaticity-derived",
    13: "chromaticity-derived with constant luminance",
    14: "ICtCp",
    15: "IPT-C2",
    16: "YCgCo-Re",
    17: "YCgCo-Ro",
}
COVER_PICTURE = 1 << 10  # AV_DISPOSITION_ATTACHED_PIC (libavformat/avformat.h)
FALLBACK_RATE = Fraction(25)
AVI_PLACEHOLDER = 1 << 30  # frames (AVI_MAX_RIFF_SIZE of FFmpeg's libavformat/riff.h)


def written_suffix(suffix: str) -> str:
    """Of the film to be made of one that ends as `suffix`, in small letters, where that one cannot be written.

    Matroska holds nearly all sound there is, but not that of old phones (AMR).
    """
    return ".mov" if suffix in (".3gp", ".3g2") else ".mkv"


@contextmanager
def _named(path: Path) -> Generator[None]:
    """Errors of PyAV's as UnsupportedFilmError naming `path`; those of the system as they are."""
    try:
        yield
    except OSError:
        raise
    except pyav().error.FFmpegError as error:
        reason = getattr(error, "strerror", None) or error
        raise UnsupportedFilmError(f"{path}: not a sound film ({reason}); wanted a video file") from error


def open_film(path: str | PathLike[str], device: torch.device = CPU) -> Film:
    """The film in a file, open for reading, its frames to go to `device`; close it, or use it in a `with` statement.

    Raises UnsupportedFilmError when PyAV is missing, and for files that hold no video, no decodable one, or are
    damaged from the beginning; OSError where the file cannot be opened.
    """
    path = Path(path)
    if path.exists() and not path.is_file():  # whoever reads a pipe waits for ever
        what = "a folder" if path.is_dir() else "no file but a device or a pipe"
        raise UnsupportedFilmError(f"{path}: {what}; wanted a video file")
    with _named(path):
        container = opened(path)
    try:
        stream = _video(container, path)
        stream.thread_type = "AUTO"
        first = next((frame for frame in decode(container, stream) if frame is not None), None)
        if first is None:
            raise UnsupportedFilmError(NOTHING.format(path))
        return _film(path, container, stream, first, device)
    except BaseException:
        container.close()
        raise


def _video(container: Any, path: Path) -> Any:
    """Its first video that is no cover picture."""
    streams = [stream for stream in container.streams.video if not _flags(stream.disposition) & COVER_PICTURE]
    if not streams:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise UnsupportedFilmError(f"{path}: holds {kinds}; wanted a video")
    if streams[0].codec_context is None:  # some versions of PyAV crash when asked to decode such a stream
        raise UnsupportedFilmError(f"{path}: its video has a codec that PyAV does not know")
    return streams[0]


def _flags(disposition: Any) -> int:
    """PyAV's flags as a number, which some versions give and others wrap."""
    return int(getattr(disposition, "value", disposition))


def _film(path: Path, container: Any, stream: Any, first: Any, device: torch.device) -> Film:
    """The facts, as the `first` frame and the container tell them."""
    coding = Coding.of(first, stream.codec_context)
    _check_matrix(path, coding.matrix)
    sideways = quarter_turns(first) % 2 == 1
    aspect = fraction(stream.sample_aspect_ratio) or Fraction(1)
    time_base = fraction(stream.time_base) or 1 / FALLBACK_RATE
    rate = fraction(stream.average_rate) or fraction(stream.guessed_rate) or FALLBACK_RATE
    seconds = _seconds(stream, time_base)
    count = stream.frames or round(seconds * rate)
    if container.format.name == "avi":
        seconds, count = _avi_length(path, count, rate)
    return Film(
        path=path,
        container=container,
        stream=stream,
        coding=coding,
        size=(first.width, first.height) if sideways else (first.height, first.width),
        sample_aspect=1 / aspect if sideways else aspect,
        time_base=time_base,
        rate=rate,
        seconds=seconds,
        count=count,
        start=min(stream.start_time or 0, first.pts or 0),
        begin=Fraction(max(0, container.start_time or 0), 1_000_000),
        metadata=dict(container.metadata),
        device=device,
        is_interlaced=bool(getattr(first, "interlaced_frame", False)),
        light=Light.of(first),
        delay=_delay(stream, first) if container.format.name == "avi" else None,
    )


def _delay(stream: Any, first: Any) -> int | None:
    """How long the `first` frame of an AVI waits for others that are decoded before they are shown; None for no time.

    An AVI tells of no times to show frames at. FFmpeg guesses them, in the order in which they are decoded for H.264.
    """
    start = stream.start_time or 0
    delay = 0 if first.dts is None else int(first.dts) - start
    return None if first.pts == start and not delay else delay


def _check_matrix(path: Path, matrix: int) -> None:
    if matrix not in CONVERTED:
        seen = f"its colours are stored as {MATRICES.get(matrix, 'what nobody knows')} (matrix {matrix})"
        raise UnsupportedFilmError(f"{path}: {seen}; wanted BT.601, BT.709 or BT.2020; convert it before")


def _avi_length(path: Path, count: int, rate: Fraction) -> tuple[float, int]:
    """Seconds and frames; both 0 where the file was written to a pipe, which leaves placeholders in its head.

    No seconds where the file is whole, as it may end with pictures that are only said to be the last again. FFmpeg's
    own length is no help: of a file that has been cut, it is that of what is left.
    """
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8)[4:], "little")  # of all that follows, in its first RIFF
    if not size or count >= AVI_PLACEHOLDER:
        return 0.0, 0
    return float(count / rate) if size + 8 > path.stat().st_size else 0.0, count


def _seconds(stream: Any, time_base: Fraction) -> float:
    """How long the video says it is: in its header, or in Matroska's tag; 0 where it does not."""
    if stream.duration:
        return float(stream.duration * time_base)
    hours, _, rest = str(stream.metadata.get("DURATION", "")).partition(":")
    minutes, _, seconds = rest.partition(":")
    try:
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return 0.0
