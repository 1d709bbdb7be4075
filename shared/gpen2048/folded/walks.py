"""How much memory levels take that are computed in one walk each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch

from ..network import NetworkConfig

# px; those up to it take a tenth of the time, and at 32 px Winograd's weights would take 190 MB more.
LARGEST_UNWALKED = 32
ROWS_AT_ONCE = 1024  # times pixels: rows of large levels stay in the cache, small levels read their weights rarely
LEAST_PIECE = 16  # rows, and at small levels what is computed at once: a piece begins with rows that are not its own
PIECES = 8  # of a thread


def piece_rows(resolution: int, threads: int) -> int:
    """Rows of a level that a thread computes before it looks whether another has need of help."""
    least = max(LEAST_PIECE, 3 * ROWS_AT_ONCE // resolution)
    return max(least, resolution // threads // PIECES // LEAST_PIECE * LEAST_PIECE)


@dataclass(frozen=True)
class Walk(ABC):
    """One engine's needs; `threads` compute at once, each in a room of its own. Equal walks need the same."""

    threads: int

    @abstractmethod
    def covers(self, resolution: int) -> bool:
        """Whether the level that gives `resolution` is walked."""

    @abstractmethod
    def group(self, resolution: int) -> int:
        """Rows of a level's output that a thread computes at once, two at least."""

    @abstractmethod
    def room(self, config: NetworkConfig, dtype: torch.dtype) -> int:
        """Bytes of one thread's room, enough for every level."""

    @abstractmethod
    def packed(self, config: NetworkConfig, dtype: torch.dtype) -> list[int]:
        """Bytes of each covered level's weights as the engine wants them."""


def covered(walk: Walk, config: NetworkConfig) -> list[int]:
    """The resolutions that `walk` covers, rising."""
    return [resolution for resolution in config.resolutions if walk.covers(resolution)]
