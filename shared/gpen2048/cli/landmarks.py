"""Faces the user brings along, from JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np

from ..errors import InvalidOptionError
from ..faces import Face

WANTED = 'wanted a list of {"landmarks": [[x, y], … five points]}, or a report of this command'


def read_landmarks(path: Path, source: Path) -> list[Face]:
    """The faces of `source` in `path`: a list of {"landmarks": …, optional "box", "score"}, or an earlier report.

    Raises InvalidOptionError saying what is wrong with the file.
    """
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InvalidOptionError(f"{path}: not JSON ({error}); {WANTED}") from error
    if isinstance(content, dict):
        content = _from_report(cast("dict[str, Any]", content), path, source)
    if not isinstance(content, list):
        raise InvalidOptionError(f"{path}: holds {type(content).__name__}; {WANTED}")
    return [_face(entry, number, path) for number, entry in enumerate(cast("list[Any]", content))]


def _from_report(report: dict[str, Any], path: Path, source: Path) -> Any:
    if "faces" in report:
        return report["faces"]
    try:
        pictures = {Path(picture["input"]): picture["faces"] for picture in report.get("pictures", [])}
        same = [faces for path, faces in pictures.items() if path.resolve() == source.resolve()]
        # By its name alone only where it can be no other's: pictures may have moved since.
        named = [faces for path, faces in pictures.items() if path.name == source.name and not path.exists()]
        if same or len(named) == 1:
            return (same or named)[0]
    except (KeyError, TypeError) as error:
        raise InvalidOptionError(f"{path}: pictures that are not usable ({error}); {WANTED}") from error
    raise InvalidOptionError(f"{path}: no faces for {source.name}; {WANTED}")


def _face(entry: Any, number: int, path: Path) -> Face:
    try:
        landmarks = np.asarray(entry["landmarks"], np.float64)
        low, high = landmarks.min(axis=0), landmarks.max(axis=0)
        margin = (high - low) / 2  # a face is about twice as large as its landmarks
        around = np.concatenate((low - margin, high + margin))
        box = np.asarray(entry.get("box", around), np.float64)
        return Face(box=box, landmarks=landmarks, score=float(entry.get("score", 1.0)))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidOptionError(f"{path}: face {number} is not usable ({error}); {WANTED}") from error
