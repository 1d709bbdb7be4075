"""The frames of a film, upright and in the order they are shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ..errors import UnsupportedFilmError
from .film_file import FilmFile
from .frames import FilmFrame, decoded

MISSING = 0.5  # seconds that a film may end before the time it announces, as its last frame's duration is often a guess
NOTHING = "{}: no picture in it can be decoded; the file is damaged"


class Film(FilmFile):
    """A film whose frames can be read."""

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
        for frame in self.decode_from(first):
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

    def _time_of(self, frame: Any, before: int | None) -> int:
        """When it is shown; where the file does not tell, or it does not grow, one frame after the one `before`."""
        told = self.told_time(frame)
        if told is not None and (before is None or told > before):
            return told
        return 0 if before is None else before + self._step

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
