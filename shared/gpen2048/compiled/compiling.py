"""numba's compiler, with its results kept on disk from one start of the program to the next."""

# pyright: basic
# (numba's own interfaces are untyped)
from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from numba import njit
from numba.core.caching import FunctionCache, NullCache

from ..cancelling import check_cancelled
from .leftovers import note

SAFE_MATH = {"contract", "reassoc", "nsz"}  # none that takes values to be finite: not-a-number must survive
SOURCES = ("compiled/*.py", "cpu/*.py")  # of all that is compiled, in the package
MARK = 8  # letters

logger = logging.getLogger(__name__)


@cache
def _announce(*, kept: bool) -> None:
    """Says in the log, before the first function is compiled, that this takes a while."""
    often = "once" if kept else "at every start, as no folder for them can be written; set NUMBA_CACHE_DIR to one"
    logger.warning("GPEN compiles its loops for this processor, for a minute or two; %s", often)


def _before_compiling(*, kept: bool) -> None:
    _announce(kept=kept)
    check_cancelled("compiling")


@cache
def _forget_earlier_versions(folder: Path) -> None:
    """Deletes what this package, by this name, has compiled from other sources than today's: several MB a version."""
    for path in folder.glob(f"*_{_owner()}{'[0-9a-f]' * MARK}-*.nb[ci]"):
        if _mark() not in path.name:
            with suppress(OSError):  # another program may hold it
                path.unlink()


def compiled(function: Callable[..., Any]) -> Any:
    """Compiled on first call; cached where a folder can be written, in the sources' own or the user's.

    Every function is inlined where another one calls it. A call may else lead to the function compiled by itself or to
    its copy in the caller's cache, which differ in the last bit: the first run would not give what later ones do.
    numba finds a cache by the function's qualified name, so that name bears the mark of what the cache depends on.
    """
    dispatcher: Any = njit(nogil=True, forceinline=True, fastmath=SAFE_MATH, error_model="numpy")(function)
    name = function.__qualname__
    function.__qualname__ = f"{name}_{_mark()}"
    try:
        dispatcher._cache = MendingCache(function)
    except RuntimeError:  # no such folder
        dispatcher._cache = NoCache()
    finally:
        function.__qualname__ = name
    return dispatcher


class MendingCache(FunctionCache):
    """numba's own, of which damaged files and full disks cost a compilation, not the function."""

    def load_overload(self, sig, target_context):
        try:
            found = super().load_overload(sig, target_context)
        except Exception as error:  # whatever unpickling makes of a file that was cut off
            logger.info("GPEN compiles again what is damaged in %s: %s", self.cache_path, error)
            found = None
            with suppress(OSError):
                self.flush()
        if found is None:
            _before_compiling(kept=True)
        return found

    def save_overload(self, sig, data):
        note(sig)
        _forget_earlier_versions(Path(self.cache_path))
        try:
            super().save_overload(sig, data)
        except Exception as error:
            logger.info("GPEN cannot keep what it compiled in %s: %s", self.cache_path, error)


class NoCache(NullCache):
    """Where nothing can be kept."""

    def load_overload(self, sig, target_context):
        _before_compiling(kept=False)

    def save_overload(self, sig, data):
        note(sig)


@cache
def _owner() -> str:
    return hashlib.sha256(__name__.encode()).hexdigest()[:MARK]


@cache
def _mark() -> str:
    """Of the package's name, and of all sources, this one among them.

    A cache refers to modules by name, and a host has its own name for the package (ComfyUI's is the folder's path).
    numba itself looks for changes in the function's file only, not in those that it takes other functions from.
    """
    digest = hashlib.sha256()
    package = Path(__file__).parents[1]
    for path in sorted(path for pattern in SOURCES for path in package.glob(pattern)):
        digest.update(path.read_bytes())
    return _owner() + digest.hexdigest()[:MARK]
