"""What can go wrong, by name. Each message says what was seen and what was wanted."""

from __future__ import annotations


class GpenError(Exception):
    """Base of everything this package raises on purpose."""


class CheckpointError(GpenError):
    """A file is not the checkpoint that was asked for, or is damaged."""


class WeightsNotFoundError(GpenError):
    """A weights file is not where it was looked for."""


class DownloadError(GpenError):
    """A download failed or brought something else than was published."""


class UnsupportedImageError(GpenError):
    """An image cannot be read, held or written."""


class OutOfMemoryError(GpenError):
    """The device has too little memory for the work asked of it."""
