"""What the nodes offer: widgets made from the runtime's own description of its options, in any ComfyUI since 0.3.48."""

from __future__ import annotations

import dataclasses
from typing import Any

from comfy_api.latest import io

from ..shared.gpen2048 import InvalidOptionError, OptionInfo, RestoreOptions, describe_options

GpenModelType = io.Custom("GPEN_MODEL")
BoundingBoxType = io.Custom("BOUNDING_BOX")  # ComfyUI's own has a class only in newer versions
CATEGORY = "image/face restoration"
PHOTOS = "Photos or frames; a batch of any length."

# A widget's id where it would be that of another input.
RENAMED = {"mask": "mask_kind"}
# A crop of the 2048 network takes 50 MB of RAM, and ComfyUI keeps a node's outputs.
DEFAULTS = {"max_crops": 8}


def node_schema(**fields: Any) -> io.Schema:
    """io.Schema of the fields that this ComfyUI knows; an unknown one would keep the whole pack from loading."""
    known = {field.name for field in dataclasses.fields(io.Schema)}
    return io.Schema(**{name: value for name, value in fields.items() if name in known})


def option_widgets(*names: str) -> list[Any]:
    """Widgets for the RestoreOptions called `names`, or for all. Optional, so that saved prompts outlive new ones."""
    return [_widget(info) for info in describe_options() if not names or info.name in names]


def read_options(widgets: dict[str, Any]) -> RestoreOptions:
    """The RestoreOptions that the widgets show; InvalidOptionError names one that is out of range."""
    infos = {RENAMED.get(info.name, info.name): info for info in describe_options()}
    shown = {infos[name].name: _value(infos[name], value) for name, value in widgets.items()}
    try:
        return RestoreOptions(**{**DEFAULTS, **shown})
    except InvalidOptionError as error:
        name, _, rest = str(error).partition(" ")
        raise InvalidOptionError(f"{RENAMED.get(name, name)} {rest}") from None


def _widget(info: OptionInfo) -> Any:
    name, default = RENAMED.get(info.name, info.name), DEFAULTS.get(info.name, info.default)
    common: dict[str, Any] = {"optional": True, "tooltip": info.help}
    limits: dict[str, Any] = {"default": default, "min": info.minimum, "max": info.maximum, "step": info.step}
    if info.choices:
        widget = io.Combo.Input(name, options=[str(c) for c in info.choices], default=str(default), **common)
    elif isinstance(default, str):
        widget = io.String.Input(name, default=default, **common)
    elif isinstance(default, float):
        widget = io.Float.Input(name, **limits, **common)
    else:
        whole = {key: None if value is None else int(value) for key, value in limits.items()}
        widget = io.Int.Input(name, **whole, **common)
    if info.advanced:
        mark_advanced(widget)
    return widget


def mark_advanced(widget: Any) -> None:
    """Hides a widget behind "advanced inputs" where ComfyUI has them; older versions pass over the unknown key."""
    widget.extra_dict = {**widget.extra_dict, "advanced": True}


def image_input(tooltip: str) -> Any:
    return io.Image.Input("image", tooltip=tooltip)


def model_input(tooltip: str = "From Load GPEN.") -> Any:
    return GpenModelType.Input("gpen_model", tooltip=tooltip)


def boxes_input(name: str, tooltip: str) -> Any:
    """A wire for boxes; ComfyUI's newer front ends would show a widget, whose box then counts as one that was given."""
    wire = BoundingBoxType.Input(name, optional=True, tooltip=tooltip)
    wire.extra_dict = {**wire.extra_dict, "forceInput": True}
    return wire


def _value(info: OptionInfo, value: Any) -> Any:
    """A choice is shown by its spelling."""
    return next((choice for choice in info.choices if str(choice) == value), value)
