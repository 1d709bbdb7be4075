"""Trying to restore in a place where an error must not stop the host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..shared.gpen2048 import (
    GpenError,
    InvalidOptionError,
    OutOfMemoryError,
    Restoration,
    WeightsNotFoundError,
    is_out_of_memory,
)
from . import controls, device, host

SMALLER = "a smaller scale or picture"  # what takes less memory, where there is a scale


@dataclass(frozen=True)
class Failure:
    """Why a picture was left as it was, in few words that name no folder: a picture may carry them to anybody."""

    reason: str

    @property
    def note(self) -> str:
        return f"picture left as it was: {self.reason}"


def attempt(name: str, restore: Callable[[], Restoration], place: str, smaller: str = SMALLER) -> Restoration | Failure:
    """What `restore` gives, or why it gave nothing.

    The console explains a failure, and a picture in which no face was restored. `name` is what failed, `place` where in
    the host its options are, and `smaller` what takes less memory there.
    """
    try:
        result = restore()
    except host.Stopped:
        return Failure("stopped")
    except Exception as error:
        expected = isinstance(error, (GpenError, OSError)) or is_out_of_memory(error)
        told = f"{sentence(error, smaller)}{_where(error, place)}"
        host.report(f"{name} left the picture as it is: {told}", exc_info=not expected)
        return Failure(_reason(error))
    if not any(face.restored for face in result.faces):
        host.tell(_why_not(result))
    return result


def _where(error: Exception, place: str) -> str:
    """Where in the host the option is that `error` complains of, as it is called there."""
    if not isinstance(error, InvalidOptionError):
        return ""
    name = str(error).partition(" ")[0]
    labels = [controls.label(info) for info in controls.shown_options() if info.name == name]
    return f" ({': '.join([place, *labels])})"


def _reason(error: Exception) -> str:
    if isinstance(error, WeightsNotFoundError):
        return "weights are missing"
    if isinstance(error, InvalidOptionError):
        return "an option is out of range"
    return "not enough memory" if is_out_of_memory(error) else "an error"


def _why_not(result: Restoration) -> str:
    """Why no face of a picture was restored."""
    if not result.faces:
        return "no face found"
    count = f"{len(result.faces)} faces" if len(result.faces) > 1 else "1 face"
    return f"{count} found, none restored: {'; '.join(dict.fromkeys(face.reason for face in result.faces))}"


def sentence(error: Exception, smaller: str = SMALLER) -> str:
    """What went wrong and what to do about it, on one line."""
    message = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, OutOfMemoryError) or is_out_of_memory(error):
        return f"{message}; {_for_less_memory(smaller)}"
    return message


def _for_less_memory(smaller: str) -> str:
    where = device.working_device()
    if where.type == "cpu":
        return f"choose {smaller}"
    if device.working_precision(where, host.option("gpen_precision", "automatic")) == torch.float16:
        return f"choose {smaller}, or start with --use-cpu gpen"
    return f"choose precision fp16 in Settings > GPEN-2048, {smaller}, or start with --use-cpu gpen"
