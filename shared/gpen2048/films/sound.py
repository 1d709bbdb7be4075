"""A film's sound (audio) on its way into another file, packet by packet and not decoded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .frames import fraction, opened, pyav
from .reading import Film

NAMES = {"language": "language", "name": "title", "title": "title"}  # a stream's, which QuickTime has its own word for
JOINED = 0.25  # seconds: times that fall back by more are those of another film


class Sound:
    """The audio streams of `film`, read anew from its file; those of codecs that PyAV does not know are left out.

    `described` names their codecs, "" for none.
    """

    def __init__(self, film: Film):
        self._film = film
        self._source = opened(film.path)
        self._streams = [stream for stream in self._source.streams.audio if stream.codec_context is not None]
        self.described = ", ".join(sorted({stream.codec_context.name for stream in self._streams}))
        if len(self._streams) < len(self._source.streams.audio):
            film.problems.append("sound of a codec that PyAV does not know was left out")
        self._container: Any = None
        self._targets: dict[int, Any] = {}
        self._clocks: dict[int, Clock] = {}
        self._packets = self._read()
        self._next: tuple[float, Any] | None = None

    def begin(self, container: Any) -> None:
        """Adds the streams to PyAV's output `container`."""
        self._container = container
        self._targets = {stream.index: _add_like(container, stream) for stream in self._streams}
        step = 0 if container.format.name == "matroska" else 1
        self._clocks = {stream.index: Clock(step) for stream in self._streams}
        self._next = next(self._packets, None)

    def copy_until(self, seconds: float) -> None:
        """Copies what sounds before `seconds`, so that sound and pictures lie next to each other in the file."""
        while self._next is not None and self._next[0] <= seconds:
            self._container.mux(self._next[1])
            self._next = next(self._packets, None)

    def close(self) -> None:
        self._source.close()

    def _read(self) -> Iterator[tuple[float, Any]]:
        """Packets with the time they belong to, in order; what is damaged is told to the film."""
        if not self._streams:
            return
        try:
            for packet in self._source.demux(*self._streams):
                if packet.dts is not None:
                    yield self._readdressed(packet)
        except pyav().error.FFmpegError as error:
            self._film.problems.append(f"the sound is damaged ({error})")

    def _readdressed(self, packet: Any) -> tuple[float, Any]:
        time_base = fraction(packet.time_base) or self._film.time_base
        begin = round(self._film.begin / time_base)
        index = packet.stream.index
        packet.stream = self._targets[index]
        lag = 0 if packet.pts is None else packet.pts - packet.dts
        second = round(1 / time_base)
        packet.dts = self._clocks[index].time(packet.dts - begin, int(packet.duration or 0), second)
        packet.pts = packet.dts + lag
        return float(packet.dts * time_base), packet


@dataclass
class Clock:
    """Makes the times of a stream grow by `step` at least, as its container wants it: Matroska takes equal ones.

    They begin anew where another film has been joined to it. A packet that is only a little early, or has the time of
    the one before, as there are in Matroska's milliseconds, does not delay those that follow.
    """

    step: int
    before: int | None = None  # when the last packet began
    ends: int = 0
    shifted: int = 0

    def time(self, dts: int, duration: int, second: int) -> int:
        """When a packet begins that lasts `duration`, in units of which a `second` has so many."""
        if self.before is not None and dts + self.shifted < self.before - JOINED * second:
            self.shifted = self.ends - dts
        least = dts + self.shifted if self.before is None else self.before + self.step
        self.before = max(dts + self.shifted, least)
        self.ends = max(self.ends, self.before + duration)
        return self.before


def named(stream: Any) -> dict[str, str]:
    """The title and the language of a stream, as far as its file tells them."""
    return {kept: stream.metadata[name] for name, kept in NAMES.items() if stream.metadata.get(name)}


def _add_like(container: Any, stream: Any) -> Any:
    added = container.add_stream_from_template(stream)
    added.metadata.update(named(stream))
    added.disposition = int(getattr(stream.disposition, "value", stream.disposition))  # which is heard, which comments
    return added
