"""Finding weight files by the names people have them under."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .catalogue import SUFFIXES, entry_for, stems
from .errors import WeightsNotFoundError

NETWORK_STEMS = stems("network", 2048)
SMALLER_NETWORK_STEMS = tuple(stem for stem in stems("network") if stem not in NETWORK_STEMS)  # the largest first
DETECTOR_STEMS = stems("detector")
PARSER_STEMS = stems("parser")


def default_folder() -> Path:
    """`weights/` of the working directory if there is one, else that of the project."""
    here = Path("weights")
    return here if here.is_dir() else Path(__file__).resolve().parents[2] / "weights"


def find_file(stems: Sequence[str], folder: Path) -> Path | None:
    """The first file in `folder` with one of `stems` and one of SUFFIXES, in any case; None when there is none."""
    wanted = [f"{stem}{suffix}".lower() for stem in stems for suffix in SUFFIXES]
    there = sorted(folder.glob("*")) if folder.is_dir() else []
    names = {path.name.lower(): path for path in there if path.name.lower() in wanted and path.is_file()}
    return next((names[name] for name in wanted if name in names), None)


def require_file(stems: Sequence[str], folder: Path, what: str, option: str) -> Path:
    """As `find_file`, but raises WeightsNotFoundError that says what to put where."""
    path = find_file(stems, folder)
    if path is None:
        entry = entry_for(stems[0])
        raise WeightsNotFoundError(
            f"no {what} in {folder}: put {entry.file} there (from {entry.sources[0]}; the command "
            f"'gpen2048 weights fetch {entry.name}' does that), or name it with {option}"
        )
    return path
