"""A film's sound (audio), subtitles and attachments on their way into another file, packet by packet, not decoded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .frames import fraction, opened, pyav
from .reading import Film

NAMES = {"language": "language", "name": "title", "title": "title"}  # a stream's, which QuickTime has its own word for
UNKNOWN_KIND = "application/octet-stream"
READABLE = 5  # seconds that a subtitle is shown which does not tell
JOINED = 0.25  # seconds: times that fall back by more are those of another film


class StreamCopy:
    """The audio and subtitle streams of `film`, read anew from its file; those of unknown codecs are left out.

    `sound` names the codecs of the audio, "" for none. What is left out is told to the film: sound in its `problems`,
    subtitles and attachments, such as their fonts, in its `notes`.
    """

    def __init__(self, film: Film):
        self._film = film
        self._source = opened(film.path)
        audio = [stream for stream in self._source.streams.audio if stream.codec_context is not None]
        self.sound = ", ".join(sorted({stream.codec_context.name for stream in audio}))
        if len(audio) < len(self._source.streams.audio):
            film.problems.append("sound of a codec that PyAV does not know was left out")
        self._streams: list[Any] = audio
        self._targets: dict[int, Any] = {}
        self._clocks: dict[int, Clock] = {}
        self._packets: Iterator[tuple[float, Any]] = iter(())
        self._next: tuple[float, Any] | None = None
        self._container: Any = None

    def begin(self, container: Any) -> None:
        """Adds the streams to PyAV's output `container`."""
        self._container = container
        self._targets = {stream.index: _add_like(container, stream) for stream in self._streams}
        self._add_subtitles()
        self._copy_attachments()
        step = 0 if container.format.name == "matroska" else 1
        self._clocks = {stream.index: Clock(step) for stream in self._streams}
        self._packets = self._read()
        self._next = next(self._packets, None)

    def copy_until(self, seconds: float) -> None:
        """Copies what sounds before `seconds`, so that sound and pictures lie next to each other in the file.

        Subtitles are few, and may lie far before the sound of their time: they go at once, and PyAV keeps them until
        their time comes.
        """
        while self._next is not None and (self._next[0] <= seconds or self._next[1].stream.type == "subtitle"):
            self._container.mux(self._next[1])
            self._next = next(self._packets, None)

    def close(self) -> None:
        self._source.close()

    def _add_subtitles(self) -> None:
        """Those that the container can hold."""
        left: set[str] = set()
        for stream in self._source.streams.subtitles:
            try:
                self._targets[stream.index] = _add_like(self._container, stream)
                self._streams.append(stream)
            except (AttributeError, ValueError):  # of a codec unknown to PyAV, or to the container
                left.add(getattr(stream.codec_context, "name", "of a codec that PyAV does not know"))
        if left:
            self._film.notes.append(f"subtitles left out ({', '.join(sorted(left))}){self._hint}")

    def _copy_attachments(self) -> None:
        """Such as the fonts of subtitles; only Matroska has them, and only newer PyAV knows how to add them."""
        attached = [stream for stream in self._source.streams if stream.type == "attachment"]
        if attached and not (self._is_matroska and hasattr(self._container, "add_attachment")):
            self._film.notes.append(f"{len(attached)} attachments left out{self._hint}")
            return
        for stream in attached:
            self._container.add_attachment(stream.name or "attachment", stream.mimetype or UNKNOWN_KIND, stream.data)

    @property
    def _is_matroska(self) -> bool:
        return self._container.format.name == "matroska"

    @property
    def _hint(self) -> str:
        return "" if self._is_matroska else "; .mkv holds most kinds"

    def _read(self) -> Iterator[tuple[float, Any]]:
        """Packets with the time they belong to, in order; what is damaged is told to the film."""
        if not self._streams:
            return
        try:
            for packet in self._source.demux(*self._streams):
                if packet.dts is not None and self._lasts(packet):
                    yield self._readdressed(packet)
        except pyav().error.FFmpegError as error:
            what = "the sound is" if self.sound else "the subtitles are"
            self._film.problems.append(f"{what} damaged ({error})")

    def _lasts(self, packet: Any) -> bool:
        """Whether a packet is copied: subtitles are cut off before the film's begin, and left out if they end there.

        Times below zero would move all others. A subtitle that ends with the next one alone has no duration; MP4
        would end with the last one's beginning.
        """
        if packet.stream.type != "subtitle":
            return True
        time_base = fraction(packet.time_base) or self._film.time_base
        early = max(0, round(self._film.begin / time_base) - packet.dts)
        duration = int(packet.duration or 0)
        if early:
            packet.dts = packet.pts = packet.dts + early
        packet.duration = duration - early if duration or self._is_matroska else round(READABLE / time_base)
        return not early or duration > early

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
