"""Trying to restore in a place where an error must not stop the host."""

from __future__ import annotations

from collections.abc import Callable

from ..shared.gpen2048 import GpenError, InvalidOptionError, OutOfMemoryError, Restoration, is_out_of_memory
from . import host

FOR_LESS_MEMORY = "choose precision fp16 in Settings > GPEN-2048, a smaller scale, or start with --use-cpu gpen"


def attempt(name: str, restore: Callable[[], Restoration], place: str) -> Restoration | None:
    """What `restore` gives; None when the user stopped it, or when it failed.

    The console explains a failure, and a picture in which no face was restored. `name` is what failed, `place` where in
    the host its options are.
    """
    try:
        result = restore()
    except host.Stopped:
        return None
    except Exception as error:
        expected = isinstance(error, (GpenError, OSError)) or is_out_of_memory(error)
        hint = f" ({place})" if isinstance(error, InvalidOptionError) else ""
        host.report(f"{name} left the picture as it is: {sentence(error)}{hint}", exc_info=not expected)
        return None
    if not any(face.restored for face in result.faces):
        host.tell(_why_not(result))
    return result


def _why_not(result: Restoration) -> str:
    """Why no face of a picture was restored."""
    if not result.faces:
        return "no face found"
    count = f"{len(result.faces)} faces" if len(result.faces) > 1 else "1 face"
    return f"{count} found, none restored: {'; '.join(dict.fromkeys(face.reason for face in result.faces))}"


def sentence(error: Exception) -> str:
    """What went wrong and what to do about it, on one line."""
    message = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, OutOfMemoryError) or is_out_of_memory(error):
        return f"{message}; {FOR_LESS_MEMORY}"
    return message
