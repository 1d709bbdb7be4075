"""What goes to an engine, and what comes back: bytes of picture files, so that they may go anywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..faces import Face


@dataclass(frozen=True)
class Original:
    """A picture file as it lies on the disk, and the suffix of the file to be made of it; `faces` replace detection.

    Warnings call it `name`.
    """

    data: bytes
    suffix: str
    faces: Sequence[Face] | None = None
    name: str = "a picture"


@dataclass(frozen=True)
class Span:
    """The frames of a film's piece: `first` <= time < `last`, where None is the film's end; and those to be looked at.

    `begin` <= time < `end` are with the frames around it that its own depend on. Times count the film's time base.
    """

    first: int | None = None
    last: int | None = None
    begin: int | None = None
    end: int | None = None


@dataclass(frozen=True)
class FilmPiece:
    """The piece `span` of the film of `size` bytes in the file `path`, and how it is to be encoded.

    `suffix` is that of the film to be made of it, `codec` and `quality` are FilmWriter's.
    """

    path: str
    size: int
    span: Span
    suffix: str
    codec: str
    quality: int


@dataclass(frozen=True)
class Restored:
    """The bytes of the file to be written, or why there are none; counts of faces and frames, and seconds it took."""

    data: bytes = b""
    faces: int = 0
    restored: int = 0
    seconds: float = 0.0
    error: str = ""
    frames: int = 0
    note: str = ""  # what is wrong with it all the same
    remark: str = ""  # what was done otherwise than asked


Source = Original | FilmPiece
Restore = Callable[[Sequence[Source]], list[Restored]]
