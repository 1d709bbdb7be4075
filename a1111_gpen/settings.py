"""The settings section "GPEN-2048", and the options it stands for."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ..shared.gpen2048 import OptionInfo, RestoreOptions
from . import controls, device, fetching, host, weights

SECTION = ("gpen2048", "GPEN-2048")
PLACE = "Settings > GPEN-2048"
CATEGORY = "postprocessing"
SIZE_CHANGING = ("scale", "max_scale")  # a face restorer keeps the size
INFOTEXT = {"strength": "GPEN strength"}
MEGAPIXELS_IN, MEGAPIXELS_OUT = 32, 256  # what the API takes, and makes, at most


def key(name: str) -> str:
    """The settings key of an option."""
    return f"gpen_{name}"


def restorer_options() -> RestoreOptions:
    """What "Restore faces" does: the settings, with the size kept."""
    return controls.read_options({info.name: host.option(key(info.name)) for info in _options()})


def add_section() -> None:
    """The host's on_ui_settings callback."""
    model = {
        "gpen_model": ("GPEN-2048 model file", weights.networks),
        "gpen_detector": ("Face detector", weights.detectors),
    }
    for name, (title, known) in model.items():
        _add(name, weights.AUTOMATIC, title, gr.Dropdown, lambda known=known: {"choices": file_choices(known())})
    for info in _options():
        _add_option(info)
    precisions = {"choices": list(device.PRECISIONS)}
    _add("gpen_precision", "automatic", "Precision", gr.Radio, precisions, "fp16 needs half the memory of fp32")
    _add("gpen_unload", False, "Forget the GPEN networks after each picture", help="frees RAM too; loading takes time")
    _add(fetching.SETTING, False, fetching.TITLE, help="0.3 GB; mind the licence of the weights, see weights/README.md")
    most = {"minimum": 1, "maximum": 178, "step": 1}
    _add("gpen_api_megapixels", MEGAPIXELS_IN, "Largest picture the GPEN API takes, in megapixels", gr.Slider, most)


def file_choices(known: dict[str, Any]) -> list[str]:
    """What a menu of weight files offers."""
    return [weights.AUTOMATIC, *known]


def _options() -> list[OptionInfo]:
    return [info for info in controls.shown_options() if info.name not in SIZE_CHANGING]


def _add_option(info: OptionInfo) -> None:
    kind, arguments = controls.component(info)
    default = controls.shown_value(info, info.default)
    _add(key(info.name), default, controls.label(info), kind, arguments, info.help, INFOTEXT.get(info.name))


def _add(
    name: str,
    default: Any,
    title: str,
    kind: Any = None,
    arguments: Any = None,
    help: str = "",
    infotext: str | None = None,
) -> None:
    info = host.shared.OptionInfo(default, title, kind, arguments, section=SECTION)
    info.category_id = CATEGORY  # not every fork's OptionInfo takes these two as arguments
    info.infotext = infotext
    host.shared.opts.add_option(name, info.info(help) if help else info)
