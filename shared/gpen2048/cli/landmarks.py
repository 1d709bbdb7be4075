"""Faces the user brings along, from JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np

from ..batch.sources import is_there
from ..errors import InvalidOptionError
from ..faces import Face

WANTED = 'wanted a list of {"landmarks": [[x, y], … five points]}, or a report of this command'


class FaceFile:
    """The faces in the JSON file `path`: a list of {"landmarks": …, optional "box", "score"}, or an earlier report.

    It is read once, however many pictures ask. Raises InvalidOptionError saying what is wrong with it.
    """

    def __init__(self, path: Path):
        self._path = path
        content = _content(path)
        report = cast("dict[str, Any]", content) if isinstance(content, dict) else {"faces": content}
        self._of_each = None if "faces" in report else _Report(report, path)
        self._of_all = _faces(report["faces"], path) if self._of_each is None else []

    def __call__(self, source: Path) -> list[Face]:
        """Those of the picture `source`. Raises InvalidOptionError where a report has none for it, or unusable ones."""
        return self._of_all if self._of_each is None else _faces(self._of_each.faces(source), self._path)


def _content(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InvalidOptionError(f"{path}: not JSON ({error}); {WANTED}") from error


class _Report:
    """Faces of an earlier report, by where their pictures lie, and by the names of those that are not there."""

    def __init__(self, report: dict[str, Any], path: Path):
        self._path = path
        self._lying: dict[Path, Any] = {}
        self._named: dict[str, list[Any]] = {}
        try:
            pictures = {Path(picture["input"]): picture["faces"] for picture in report.get("pictures", [])}
            for picture, faces in pictures.items():
                self._lying.setdefault(picture.resolve(), faces)
                if not is_there(picture):
                    self._named.setdefault(picture.name, []).append(faces)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:  # NUL in names, links that lead to themselves
            raise InvalidOptionError(f"{path}: pictures that are not usable ({error}); {WANTED}") from error

    def faces(self, source: Path) -> Any:
        lying = source.resolve()
        if lying in self._lying:
            return self._lying[lying]
        named = self._named.get(source.name, [])
        if len(named) == 1:  # by its name alone only where it can be no other's: pictures may have moved since
            return named[0]
        raise InvalidOptionError(f"{self._path}: no faces for {source.name}; {WANTED}")


def _faces(found: Any, path: Path) -> list[Face]:
    if not isinstance(found, list):
        raise InvalidOptionError(f"{path}: holds {type(found).__name__}; {WANTED}")
    return [_face(entry, number, path) for number, entry in enumerate(cast("list[Any]", found))]


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
