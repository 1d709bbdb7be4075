"""What was done, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..options import RestoreOptions
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
    left = f" ({'; '.join(reasons)})" if reasons else ""
    return (
        f"{report['input']} -> {report['output']}: {len(faces)} faces found, {restored} restored{left}, "
        f"scale {report['scale']:g}, {report['seconds']:.1f} s"
    )
