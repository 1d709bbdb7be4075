"""The frames of a film, upright and in the order they are shown."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch

from ..errors import UnsupportedFilmError
from .frames import Coding, FilmFrame, decoded, has_alpha, opened, pyav
from .light import Light

MISSING = 0.5  # seconds that a film may end before the time it announces, as its last frame's duration is often a guess
NOTHING = "{}: no picture in it can be decoded; the file is damaged"

log = logging.getLogger(__name__)


@dataclass
class Film:
    """A film that is open for reading, by one reader at a time.

    `size` is height and width of the upright pictures; `time_base` the unit of times, in seconds; `rate` frames per
    second, on average; `seconds` and `count`, in frames, how long it says it is, 0 where that is not to be known, from
    the time `start` on; `begin` when in seconds its first picture or sound comes. `device` is where frames go.
    `is_interlaced` tells of two half pictures in each; `light` is what an HDR film says of its own. `delay`, where the
    file tells only when a frame is decoded, is from when its picture is shown until then. `problems` fills while they
    are read: what could not be; `notes` tell what else of it is not in the film written like it.
    """

    path: Path
    container: Any
    stream: Any
    coding: Coding
    size: tuple[int, int]
    sample_aspect: Fraction
    time_base: Fraction
    rate: Fraction
    seconds: float
    count: int
    start: int
    begin: Fraction
    metadata: dict[str, str]
    device: torch.device
    is_interlaced: bool = False
    light: Light = Light()
    delay: int | None = None
    problems: list[str] = field(default_factory=list[str])
    notes: list[str] = field(default_factory=list[str])

    def frames(self, first: int | None = None, last: int | None = None) -> Iterator[FilmFrame]:
        """Its frames in the order they are shown; only those with `first` <= pts < `last` where these are given.

        Times grow strictly. What cannot be decoded, and what has another size than the first, is left out and named in
        `problems`. Each lasts until the next is shown, whatever the file says: where frames are not decoded in the
        order they are shown, FFmpeg gives the length of one to another. Raises UnsupportedFilmError when nothing can
        be decoded.
        """
        shown: FilmFrame | None = None
        end = 0
        for following in self._read(first, last):
            time = following if isinstance(following, int) else following.pts
            if shown is not None:
                yield replace(shown, duration=time - shown.pts)
            shown = None if isinstance(following, int) else following
            end = end if shown is None else max(end, self._end_of(shown))
        if shown is not None:
            yield replace(shown, duration=self._rest(shown, end))

    def _read(self, first: int | None, last: int | None) -> Iterator[FilmFrame | int]:
        """The frames with the durations in the file, and then, if it is not the film's end, the time of the next."""
        time, lost, bad, end = None, 0, 0, None
        for frame in self._decode_from(first):
            if frame is None:
                lost += 1
                missed = (time or 0) + lost * self._step
                bad += (first is None or missed >= first) and (last is None or missed < last)
                continue
            time, lost = self._time_of(frame, time), 0
            if last is not None and time >= last:
                self._name_damaged(bad)
                yield time
                break
            if first is not None and time < first:
                continue
            bad += bool(frame.is_corrupt)
            shown = FilmFrame(decoded(frame, self.coding, self.device), time, int(getattr(frame, "duration", 0) or 0))
            if self._fits(shown):
                end = self._end_of(shown) if end is None else max(end, self._end_of(shown))
                yield shown
        else:
            self._check_end(time, end, bad)

    def times(self) -> list[tuple[int, bool]]:
        """The times of all frames as the file has them, each with whether decoding can begin there; none is decoded.

        There are none where the clock begins anew, as in films that have been joined.
        """
        self._reopen()
        found: list[tuple[int, bool]] = []
        before = None
        with suppress(pyav().error.FFmpegError):  # beyond such a place nothing is decoded either
            for packet in self.container.demux(self.stream):
                time = packet.pts if self.delay is None else packet.dts
                if time is not None:
                    found.append((time, bool(packet.is_keyframe)))
                if packet.dts is not None:
                    if before is not None and packet.dts < before:
                        return []
                    before = packet.dts
        return sorted(found)

    def warn(self) -> None:
        """Says what the film is that makes its restoration less good than it could be."""
        if self.is_interlaced:
            log.warning("%s is interlaced: both half pictures are restored as one; deinterlace it before", self.path)
        if has_alpha(self.coding.pixel_format):
            log.warning("%s has transparency, which is not kept", self.path)

    def close(self) -> None:
        self.container.close()

    def __enter__(self) -> Film:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _reopen(self) -> None:
        """Back to the very first frame, which seeking does not find in every kind of file."""
        index = self.stream.index  # to be asked while the container is open
        self.container.close()
        self.container = opened(self.path)
        self.stream = self.container.streams[index]
        self.stream.thread_type = "AUTO"

    def _decode_from(self, time: int | None) -> Iterator[Any]:
        """PyAV's frames, from the keyframe before `time` on or from an earlier one."""
        self._reopen()
        if time is None:
            yield from decode(self.container, self.stream)
            return
        self.container.seek(time, stream=self.stream, backward=True)
        frames = decode(self.container, self.stream)
        first = next(frames, None)
        shown = None if first is None else self._told_time(first)
        if shown is None or shown > time:
            yield from self._decode_from(None)
        else:
            yield first
            yield from frames

    def _time_of(self, frame: Any, before: int | None) -> int:
        """When it is shown; where the file does not tell, or it does not grow, one frame after the one `before`."""
        told = self._told_time(frame)
        if told is not None and (before is None or told > before):
            return told
        return 0 if before is None else before + self._step

    def _told_time(self, frame: Any) -> int | None:
        if self.delay is None:
            return None if frame.pts is None else int(frame.pts)
        return None if frame.dts is None else int(frame.dts) - self.delay

    @property
    def _step(self) -> int:
        """From a frame to the next, on average."""
        return max(1, round(1 / (self.rate * self.time_base)))

    def _fits(self, frame: FilmFrame) -> bool:
        """Whether it has the size of the film, else it is named."""
        height, width = frame.pixels.shape[1:]
        problem = f"pictures of {width} x {height} px are left out, as the first has {self.size[1]} x {self.size[0]}"
        if (height, width) != self.size and problem not in self.problems:
            self.problems.append(problem)
        return (height, width) == self.size

    def _name_damaged(self, frames: int) -> None:
        if frames:
            self.problems.append(f"{frames} frames are damaged")

    def _end_of(self, frame: FilmFrame) -> int:
        return frame.pts + (frame.duration or self._step)

    def _rest(self, frame: FilmFrame, end: int) -> int:
        """How long `frame`, the last, is shown: to the latest `end` of all, not longer than the film is."""
        if self.seconds:
            end = min(end, self.start + round(self.seconds / self.time_base))
        return max(end - frame.pts, min(frame.duration or self._step, self._step))

    def _check_end(self, time: int | None, end: int | None, bad: int) -> None:
        """`time` of the last frame that was decoded, and the `end` of the last that was shown."""
        if time is None:
            raise UnsupportedFilmError(NOTHING.format(self.path))
        self._name_damaged(bad)
        # Matroska, which gives its length in a tag alone, may count it from 0 or from the beginning.
        start = self.start if self.stream.duration else 0
        seconds = self.seconds if end is None else float((end - start) * self.time_base)
        if seconds < self.seconds - MISSING:
            self.problems.append(f"the video ends at {seconds:.1f} s of {self.seconds:.1f} s")


def decode(container: Any, stream: Any) -> Iterator[Any]:
    """PyAV's frames; None for each packet that cannot be decoded."""
    errors = pyav().error.FFmpegError
    packets = iter(container.demux(stream))
    while True:
        try:
            packet = next(packets, None)
            frames: list[Any] = [] if packet is None else packet.decode()
        except EOFError:
            return
        except errors:
            yield None
            continue
        yield from frames
        if packet is None:
            return
