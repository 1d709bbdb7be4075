"""What can go wrong, each saying what was seen and what was wanted."""

from __future__ import annotations

# What the allocators of MPS, DirectML, XPU and the CPU say, in a plain RuntimeError.
SAID_WITHOUT_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "could not allocate")


class GpenError(Exception):
    """Base of every error this package raises on purpose."""


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


class InvalidOptionError(GpenError, ValueError):
    """An option lies outside its range."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` tells that a device, of any kind, or the machine itself has too little memory."""
    import torch

    if isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)):
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in said for words in SAID_WITHOUT_MEMORY)
