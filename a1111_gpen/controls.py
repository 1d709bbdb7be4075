"""Gradio controls made from `describe_options`, and options read back from what they deliver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from ..shared.gpen2048 import OptionInfo, RestoreOptions, describe_options

HIDDEN = ("max_crops",)  # nothing here shows the crops
LABELS = {
    "strength": "Strength",
    "scale": "Scale",
    "select": "Faces",
    "min_face": "Smallest face",
    "max_faces": "At most so many faces",
    "threshold": "Detection threshold",
    "template": "Framing",
    "mask": "Mask",
    "feather": "Feather",
    "colour": "Colour",
    "adaptive": "Less for sharp faces",
    "texture": "Grain of the photo",
    "fade_until": "Fade in up to",
    "max_turn": "Furthest turn aside",
    "order": "Numbering",
    "min_score": "Smallest score",
    "max_scale": "Largest automatic scale",
    "max_tilt": "Furthest tilt of heads",
}
SELECT_WORDS = ("all", "largest", "centre")


def shown_options() -> list[OptionInfo]:
    """The options a user sees here, in the runtime's order."""
    return [info for info in describe_options() if info.name not in HIDDEN]


def label(info: OptionInfo) -> str:
    return LABELS.get(info.name, info.name.replace("_", " ").capitalize())


def component(info: OptionInfo) -> tuple[Any, dict[str, Any]]:
    """The Gradio class for an option, and its arguments but for label and value."""
    if info.choices:
        return gr.Radio, {"choices": [str(choice) for choice in info.choices]}
    if info.minimum is not None:
        return gr.Slider, {"minimum": info.minimum, "maximum": info.maximum, "step": info.step}
    return _open_dropdown, {"choices": list(SELECT_WORDS)}


def _open_dropdown(**arguments: Any) -> Any:
    """A menu one may also type into. The host hands settings' arguments to Gradio 3's update, which lacks this one."""
    return gr.Dropdown(allow_custom_value=True, **arguments)


def shown_value(info: OptionInfo, value: Any) -> Any:
    """`value` as the control holds it: choices are spelled out."""
    return str(value) if info.choices else value


def read_options(values: Mapping[str, Any]) -> RestoreOptions:
    """RestoreOptions from the values of controls, settings or JSON; None and missing ones are the defaults.

    Raises InvalidOptionError naming the option, what was seen and what was wanted.
    """
    given = {info.name: _read(info, values[info.name]) for info in shown_options() if values.get(info.name) is not None}
    return RestoreOptions(**given, max_crops=0)


def _read(info: OptionInfo, value: Any) -> Any:
    """A choice by its spelling; whole numbers, which sliders deliver as 2.0, as int."""
    if info.choices:
        return {str(choice): choice for choice in info.choices}.get(str(value), value)
    is_whole = isinstance(info.default, int) and isinstance(value, float) and value.is_integer()
    return int(value) if is_whole else value
