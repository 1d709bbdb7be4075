"""A film's file: what it says of itself, and what PyAV decodes of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import torch

from .frames import Coding, has_alpha, opened, pyav
from .light import Light

Opened = TypeVar("Opened", bound="FilmFile")

log = logging.getLogger(__name__)


@dataclass
class FilmFile:
    """A film's file, open for one reader at a time; close it, or use it in a `with` statement.

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

    def __enter__(self: Opened) -> Opened:
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

    def decode_from(self, time: int | None) -> Iterator[Any]:
        """PyAV's frames, from the keyframe before `time` on or from an earlier one."""
        self._reopen()
        if time is None:
            yield from decode(self.container, self.stream)
            return
        self.container.seek(time, stream=self.stream, backward=True)
        frames = decode(self.container, self.stream)
        first = next(frames, None)
        shown = None if first is None else self.told_time(first)
        if shown is None or shown > time:
            yield from self.decode_from(None)
        else:
            yield first
            yield from frames

    def told_time(self, frame: Any) -> int | None:
        """When PyAV's `frame` is shown; None where the file does not tell."""
        if self.delay is None:
            return None if frame.pts is None else int(frame.pts)
        return None if frame.dts is None else int(frame.dts) - self.delay


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
