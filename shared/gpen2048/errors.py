"""What can go wrong, each saying what was seen and what was wanted."""

from __future__ import annotations

import errno
import traceback

# What those say that have no class of errors for it: PyTorch on the CPU (of Linux and of Windows), CUDA's and ROCm's
# libraries, XPU, MPS, DirectML, OpenCV. In small letters.
_SAID_WITHOUT_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "could not allocate tensor",
    "not enough memory",
    "insufficient memory",
    "invalid buffer size",
    "out_of_device_memory",
    "out_of_host_memory",
    "error_out_of_resources",
    "status_alloc_failed",
)
DONE_IN_LESS_MEMORY = "memory ran short: done once more, with the network in less of it"  # a note for reports


class GpenError(Exception):
    """Base of every error this package raises on purpose."""


class MissingPackageError(GpenError):
    """A package that requirements.txt names is not installed where this runs, or cannot be loaded."""

    @classmethod
    def after(cls, error: ImportError) -> MissingPackageError:
        missing = isinstance(error, ModuleNotFoundError)
        what = f"the package {error.name} is missing" if missing else f"a package cannot be loaded ({error})"
        return cls(f"{what}; wanted what requirements.txt lists, installed for the Python that runs this")


class CheckpointError(GpenError):
    """A file is not the sound checkpoint it should be."""


class WeightsNotFoundError(GpenError):
    """A needed weight file is not there."""


class DownloadError(GpenError):
    """A weight file could not be fetched whole and verified."""


class UnsupportedImageError(GpenError):
    """A picture cannot be read, or cannot be written as asked."""


class UnsupportedFilmError(GpenError):
    """A film cannot be read, or cannot be written as asked."""


class OutOfMemoryError(GpenError):
    """The working device has too little memory even for the smallest batch."""


class DeviceError(GpenError):
    """PyTorch computes wrongly on the working device."""


class UnsoundResultError(GpenError):
    """What came out of the network is no picture."""


class InvalidOptionError(GpenError, ValueError):
    """An option lies outside its range."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that the processor or a device of any backend has too little memory for what was asked."""
    if isinstance(error, MemoryError) or any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM  # its words may quote a file's name
    if isinstance(error, GpenError) or not isinstance(error, Exception):
        return False
    said = str(error).lower()
    return any(words in said for words in _SAID_WITHOUT_MEMORY)


def forget_variables(error: BaseException | None) -> None:
    """Clears the variables of the functions that `error`, and what led to it, came out of.

    Tensors among them would else live as long as the error, so that the memory a host wants back is still taken.
    Functions that still run keep theirs; the traceback can be printed all the same.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
