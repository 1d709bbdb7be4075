"""What was done, for people and for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import GpenError
from ..options import RestoreOptions
from ..replacing import replacing
from ..restoration import Restoration
from .sources import Job


def picture_report(job: Job, result: Restoration, options: RestoreOptions, seconds: float) -> dict[str, Any]:
    """JSON-ready facts about one restored picture; coordinates are pixels of the input."""
    return {
        "input": str(job.source),
        "output": str(job.target),
        "scale": result.scale,
        "seconds": round(seconds, 2),
        "options": asdict(options),
        "faces": [asdict(face) for face in result.faces],
    }


def summary_line(report: dict[str, Any]) -> str:
    """One line for the user."""
    faces: list[dict[str, Any]] = report["faces"]
    restored = sum(face["restored"] for face in faces)
    reasons = sorted({face["reason"] for face in faces if face["reason"]})
    chosen: str | tuple[int, ...] = report["options"]["select"]
    missing = [str(number) for number in chosen if number >= len(faces)] if isinstance(chosen, tuple) else []
    if missing:
        reasons.append(f"there is no face {', '.join(missing)}; the first is 0")
    left = f" ({'; '.join(reasons)})" if reasons else ""
    note = f"; {report['note']}" if report["note"] else ""
    return (
        f"{report['input']} -> {report['output']}: {len(faces)} faces found, {restored} restored{left}, "
        f"scale {report['scale']:g}, {report['seconds']:.1f} s{note}"
    )


def told(error: BaseException) -> str:
    """What went wrong in one line, with the kind of error where it is none that was expected."""
    words = " ".join(str(error).split())
    return words if isinstance(error, (GpenError, OSError, ValueError)) else f"{type(error).__name__}: {words}"


def write_json(path: Path, content: object) -> None:
    """Writes `content` to `path`, which holds what it held before until that is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as unfinished:
        unfinished.write_text(json.dumps(content, indent=2, default=_plain) + "\n", encoding="utf-8")


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (np.floating, np.integer)):
        return value.item()
    raise TypeError(f"no JSON for {type(value).__name__}")
