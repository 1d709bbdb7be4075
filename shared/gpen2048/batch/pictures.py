"""What goes to an engine, and what comes back: bytes of files, so that it may go anywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..faces import Face


@dataclass(frozen=True)
class Original:
    """A picture file as it lies on the disk, and the suffix of the file to be made of it; `faces` replace detection."""

    data: bytes
    suffix: str
    faces: Sequence[Face] | None = None


@dataclass(frozen=True)
class Restored:
    """The bytes of the file to be written, or why there are none; counts of faces, and seconds it took."""

    data: bytes = b""
    faces: int = 0
    restored: int = 0
    seconds: float = 0.0
    error: str = ""


Restore = Callable[[Sequence[Original]], list[Restored]]
