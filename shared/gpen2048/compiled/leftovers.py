"""What compiling leaves behind: exceptions of numba's in cycles, with the frames of all callers.

Those hold networks and pictures, which a host could not take back until Python happens to look for cycles.
"""

from __future__ import annotations

import gc

_compiled: list[object] = []


def note(signature: object) -> None:
    """A function has been compiled for the types of `signature`."""
    _compiled.append(signature)


def collect() -> None:
    """Frees what has been left since the last time; nothing where nothing was compiled."""
    if _compiled:
        _compiled.clear()
        gc.collect()
