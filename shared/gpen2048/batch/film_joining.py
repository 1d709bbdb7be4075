"""Pieces of a film as encoded packets, and the film they are joined to, with the original's sound and subtitles."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from ..films.frames import fraction, pyav
from ..films.writing import FilmWriter

LENGTH_BYTES = 8  # of the header's own length


@dataclass(frozen=True)
class Packet:
    """What an encoder gave: bytes, when they are shown and decoded, for how long, and whether decoding can begin."""

    data: bytes
    pts: int
    dts: int
    duration: int
    is_keyframe: bool


@dataclass(frozen=True)
class Encoded:
    """The packets of a piece, with times in units of `time_base`, and the size of its pictures."""

    height: int
    width: int
    time_base: Fraction
    packets: list[Packet]

    def to_bytes(self) -> bytes:
        """A JSON header's length, the header, and the packets one after the other."""
        facts = [(len(p.data), p.pts, p.dts, p.duration, p.is_keyframe) for p in self.packets]
        header = json.dumps([self.height, self.width, str(self.time_base), facts]).encode()
        parts = [len(header).to_bytes(LENGTH_BYTES, "big"), header, *(packet.data for packet in self.packets)]
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, content: bytes) -> Encoded:
        end = LENGTH_BYTES + int.from_bytes(content[:LENGTH_BYTES], "big")
        height, width, time_base, facts = json.loads(content[LENGTH_BYTES:end])
        packets: list[Packet] = []
        for size, *others in facts:
            packets.append(Packet(content[end : end + size], *others))
            end += size
        return cls(height, width, Fraction(time_base), packets)


NOTHING = Encoded(0, 0, Fraction(1), [])  # of a piece that is left out


class PieceWriter(FilmWriter):
    """Encodes as FilmWriter does, but keeps the packets, `encoded` after its `with` statement, and writes no file."""

    encoded: Encoded | None = None

    def __enter__(self) -> PieceWriter:
        return self

    def _open(self, height: int, width: int) -> None:
        super()._open(height, width)
        self._size = (height, width)
        self._packets: list[Packet] = []
        self._time_base = Fraction(1)

    def _begin_copying(self) -> None:
        pass

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            self._time_base = fraction(packet.time_base) or self._time_base
            facts = (int(packet.pts), int(packet.dts), int(packet.duration or 0), bool(packet.is_keyframe))
            self._packets.append(Packet(bytes(packet), *facts))

    def _finish(self) -> None:
        with self._errors():
            if self._container is not None:
                self._mux(self._encode(None))
                self._container.close()
                self.encoded = Encoded(*self._size, self._time_base, self._packets)


class JoiningWriter(FilmWriter):
    """Writes a film whose pictures have been encoded in pieces."""

    def __enter__(self) -> JoiningWriter:
        return self

    def join(self, pieces: Iterable[Encoded]) -> None:
        """Adds all packets of `pieces`, which must come in order."""
        last: int | None = None
        for piece in pieces:
            if not piece.packets:
                continue
            with self._errors():
                if self._container is None:
                    self._open(piece.height, piece.width)
                for packet in piece.packets:
                    last = packet.dts if last is None else max(packet.dts, last + 1)  # must grow across pieces, too
                    self._mux([self._addressed(packet, piece.time_base, last)])

    def _addressed(self, packet: Packet, time_base: Fraction, dts: int) -> Any:
        made = pyav().Packet(packet.data)
        made.pts, made.dts, made.duration, made.time_base = packet.pts, dts, packet.duration, time_base
        made.is_keyframe = packet.is_keyframe
        made.stream = self._video
        return made


def read_pieces(paths: Iterable[Path]) -> Iterable[Encoded]:
    """One after the other, so that a film of any length takes the memory of one piece."""
    return (Encoded.from_bytes(path.read_bytes()) for path in paths)
