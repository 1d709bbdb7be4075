"""What was done to every face, as JSON text."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..shared.gpen2048 import FaceReport, RestoreOptions
from .model import GpenModel

INNER_LIST = re.compile(r"\[[^][{}]*\]")  # one that holds plain values only


def frame_report(number: int, scale: float, reports: Sequence[FaceReport]) -> dict[str, Any]:
    """JSON-ready facts about one frame, in pixels of the input."""
    faces = [{"number": n, **_plain(asdict(report))} for n, report in enumerate(reports)]
    return {"frame": number, "scale": round(scale, 4), "faces": faces}


def summary(frames: Sequence[dict[str, Any]]) -> str:
    """One line for the log: how many faces there were, how many were restored, and why none was."""
    faces = [face for frame in frames for face in frame["faces"]]
    place = f" in {len(frames)} frames" if len(frames) > 1 else ""
    if not faces:
        return f"no face found{place}"
    found = f"{len(faces)} {'faces' if len(faces) > 1 else 'face'} found{place}"
    restored = sum(face["restored"] for face in faces)
    if restored:
        return f"{found}, {restored} restored"
    return f"{found}, none restored: {'; '.join(dict.fromkeys(face['reason'] for face in faces))}"


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
