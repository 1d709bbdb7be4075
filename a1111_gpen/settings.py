"""The settings section "GPEN-2048", and the options it stands for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from ..shared.gpen2048 import OptionInfo, RestoreOptions
from . import controls, device, fetching, host, weights

SECTION = ("gpen2048", "GPEN-2048")
PLACE = "Settings > GPEN-2048"
CATEGORY = "postprocessing"
SIZE_CHANGING = ("scale", "max_scale")  # a face restorer keeps the size
MEGAPIXELS_IN, MEGAPIXELS_OUT = 32, 256  # what the API takes, and makes, at most


def key(name: str) -> str:
    """The settings key of an option."""
    return f"gpen_{name}"


def infotext_name(name: str) -> str:
    """What an option is called in the text that pictures carry; the host brings it back to the setting by this name."""
    return f"GPEN {name.replace('_', ' ')}"


def remembered(options: RestoreOptions) -> dict[str, Any]:
    """What pictures remember: the strength, and what is not the default; else None, which the hosts leave out.

    None is there because a host keeps such a text for a whole batch, whatever other pictures have put into it.
    """
    return {infotext_name(info.name): _remembered(info, getattr(options, info.name)) for info in _options()}


def defaults() -> dict[str, str]:
    """What is meant where a picture's text has the strength but not these names."""
    return {infotext_name(info.name): str(info.default) for info in _options()}


def restorer_options() -> RestoreOptions:
    """What "Restore faces" does: the settings, with the size kept."""
    return controls.read_options({info.name: host.option(key(info.name)) for info in _options()})


def add_section() -> None:
    """The host's on_ui_settings callback; settings of the face restorer and the API are added where these are."""
    restores = host.has_face_restorers()
    if restores:
        _add_menu("gpen_model", "GPEN-2048 model file", weights.networks)
    _add_menu("gpen_detector", "Face detector", weights.detectors)
    for info in _options() if restores else []:
        _add_option(info)
    precisions = {"choices": list(device.PRECISIONS)}
    _add("gpen_precision", "automatic", "Precision", gr.Radio, precisions, "fp16 needs half the memory of fp32")
    _add("gpen_unload", False, "Forget the GPEN networks after each picture", help="frees RAM too; loading takes time")
    _add(fetching.SETTING, False, fetching.TITLE, help="0.3 GB; mind the licence of the weights, see weights/README.md")
    if restores:
        most = {"minimum": 1, "maximum": 178, "step": 1}
        _add("gpen_api_megapixels", MEGAPIXELS_IN, "Largest picture the GPEN API takes, in megapixels", gr.Slider, most)


def file_choices(known: dict[str, Any]) -> list[str]:
    """What a menu of weight files offers."""
    return [weights.AUTOMATIC, *known]


def _options() -> list[OptionInfo]:
    return [info for info in controls.shown_options() if info.name not in SIZE_CHANGING]


def _remembered(info: OptionInfo, value: Any) -> Any:
    """As the setting has it: face numbers as text, fractions without the dust of floating point."""
    if value == info.default and info.name != "strength":
        return None
    if isinstance(value, tuple):
        return ",".join(str(number) for number in value)
    return round(value, 3) if isinstance(value, float) else value


def _add_menu(name: str, title: str, known: Callable[[], dict[str, Any]]) -> None:
    """A menu of weight files."""
    info = _add(name, weights.AUTOMATIC, title, gr.Dropdown, lambda: {"choices": file_choices(known())})
    info.refresh = _nothing  # a button beside the menu, which the host then makes anew


def _add_option(info: OptionInfo) -> None:
    kind, arguments = controls.component(info)
    default = controls.shown_value(info, info.default)
    _add(key(info.name), default, controls.label(info), kind, arguments, info.help, infotext_name(info.name))


def _add(
    name: str,
    default: Any,
    title: str,
    kind: Any = None,
    arguments: Any = None,
    help: str = "",
    infotext: str | None = None,
) -> Any:
    info = host.shared.OptionInfo(default, title, kind, arguments, section=SECTION)
    info.category_id = CATEGORY  # not every fork's OptionInfo takes these two as arguments
    info.infotext = infotext
    host.shared.opts.add_option(name, info.info(help) if help else info)
    return info


def _nothing() -> None:
    """Files are looked for whenever a menu is made."""
