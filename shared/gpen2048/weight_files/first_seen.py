"""The hash a file had when it was first seen, beside it in the form of `sha256sum`: NAME.sha256."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..replacing import replacing


def record_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def first_seen(path: Path) -> str | None:
    """The recorded hash, or None when there is none that can be read."""
    try:
        text = record_path(path).read_bytes()
    except OSError:
        return None
    match = re.match(rb"[0-9a-fA-F]{64}\b", text)
    return match[0].decode().lower() if match else None


def record(path: Path, sha256: str, *, accept: bool = False) -> str:
    """Writes the hash beside `path`, but over something that is no such record only to `accept` it.

    Returns "", or why nothing was written, which is no reason to fail.
    """
    place = record_path(path)
    try:
        if not accept and first_seen(path) is None and place.exists() and place.stat().st_size:
            return f"{place} holds something else; `weights check --accept` replaces it"
        with replacing(place) as unfinished:
            unfinished.write_bytes(f"{sha256}  ".encode() + os.fsencode(path.name) + b"\n")
    except OSError:
        return "the folder cannot be written to"
    return ""
