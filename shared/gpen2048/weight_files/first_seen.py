"""The hash a file had when it was first seen, beside it in the form of `sha256sum`: NAME.sha256."""

from __future__ import annotations

import re
from pathlib import Path


def record_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def first_seen(path: Path) -> str | None:
    """The recorded hash, or None when there is none that can be read."""
    try:
        text = record_path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    match = re.match(r"[0-9a-fA-F]{64}\b", text)
    return match[0].lower() if match else None


def record(path: Path, sha256: str, *, accept: bool = False) -> str:
    """Writes the hash beside `path`, but over something that is no such record only to `accept` it.

    Returns "", or why nothing was written, which is no reason to fail.
    """
    place = record_path(path)
    try:
        if not accept and first_seen(path) is None and place.exists() and place.stat().st_size:
            return f"{place} holds something else; `weights check --accept` replaces it"
        place.write_text(f"{sha256}  {path.name}\n", encoding="utf-8")
    except OSError:
        return "the folder cannot be written to"
    return ""
