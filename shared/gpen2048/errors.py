"""What can go wrong, each saying what was seen and what was wanted."""

from __future__ import annotations


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


class InvalidOptionError(GpenError, ValueError):
    """An option lies outside its range."""
