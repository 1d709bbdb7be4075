"""What was done to every face, as JSON text."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..shared.gpen2048 import Face, FaceReport, RestoreOptions
from .model import GpenModel

INNER_LIST = re.compile(r"\[[^][{}]*\]")  # one that holds plain values only


def frame_report(
    number: int, scale: float, reports: Sequence[FaceReport], refused: Sequence[tuple[Face, str]]
) -> dict[str, Any]:
    """JSON-ready facts about one frame, in pixels of the input; `refused` faces follow the others."""
    others = [FaceReport(face.box, face.landmarks, face.score, face.size, reason=why) for face, why in refused]
    faces = [{"number": n, **_plain(asdict(report))} for n, report in enumerate((*reports, *others))]
    return {"frame": number, "scale": round(scale, 4), "faces": faces}


def report_text(model: GpenModel, options: RestoreOptions, frames: Sequence[dict[str, Any]]) -> str:
    """The whole report, indented for reading, a list of numbers on one line."""
    facts = {
        "network": model.path.name,
        "size": model.network.config.size,
        "precision": str(next(model.network.parameters()).dtype).removeprefix("torch."),
        "device": str(model.patcher.load_device),
        "detector": model.detector.kind if model.detector else None,
        "options": asdict(options),
        "frames": list(frames),
    }
    return INNER_LIST.sub(_on_one_line, json.dumps(facts, indent=1))


def _on_one_line(numbers: re.Match[str]) -> str:
    return " ".join(numbers[0].split())


def _plain(facts: dict[str, Any]) -> dict[str, Any]:
    """Arrays as lists, numbers short enough to read."""
    return {key: _rounded(value.tolist() if hasattr(value, "tolist") else value) for key, value in facts.items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return round(value, 3) if isinstance(value, float) else value
