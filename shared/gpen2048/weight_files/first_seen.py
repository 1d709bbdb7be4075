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
    match = re.match(r"[0-9a-f]{64}\b", text)
    return match[0] if match else None


def record(path: Path, sha256: str) -> bool:
    """Writes the hash beside `path`; False where nothing can be written, which is no reason to fail."""
    try:
        record_path(path).write_text(f"{sha256}  {path.name}\n", encoding="utf-8")
    except OSError:
        return False
    return True
