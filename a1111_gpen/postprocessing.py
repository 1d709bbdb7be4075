"""The Extras script "GPEN-2048"."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import gradio as gr

from ..shared.gpen2048 import InvalidOptionError, OptionInfo, Restoration, RestoreOptions
from . import controls, host, pictures, settings, weights
from .attempts import Failure, attempt
from .equipment import EQUIPMENT, Choice

NAME = "GPEN-2048"
OURS = frozenset((*settings.remembered(RestoreOptions()), "GPEN model", "GPEN faces restored", "GPEN scale"))
ORDER = 2500  # after the host's Upscale (1000) and GFPGAN (2000), before CodeFormer (3000)


class GpenPostprocessing(host.scripts_postprocessing.ScriptPostprocessing):
    """Restores the faces of a picture in the Extras tab, or in txt2img and img2img where the user put it there."""

    name = NAME
    order = ORDER
    _told: frozenset[str] = frozenset()  # of GPEN by the text of the picture restored last, which others may inherit

    def ui(self) -> dict[str, Any]:
        simple = [info for info in controls.shown_options() if not info.advanced]
        advanced = [info for info in controls.shown_options() if info.advanced]
        with _switch() as enable:
            made = {info.name: _control(info) for info in simple}
            with gr.Accordion("More GPEN options", open=False, elem_id="extras_gpen_more"):
                choices = settings.file_choices(weights.networks())
                model = gr.Dropdown(choices, value=weights.AUTOMATIC, label="Model file", elem_id="extras_gpen_model")
                made.update({info.name: _control(info) for info in advanced})
        return {"enable": enable, "model": model, **made}

    def process(self, pp: Any, enable: bool | None = None, model: str | None = None, **values: Any) -> None:
        """Replaces `pp.image`. The host's API passes None for everything, which means: do nothing.

        SD.Next runs scripts over a video too, without an image.
        """
        if not enable or pp.image is None:
            return
        choice = Choice(str(model or weights.AUTOMATIC))
        result = attempt(
            NAME, lambda: _restore(pp, choice, values), "Extras tab" if host.has_face_restorers() else "Process tab"
        )
        if isinstance(result, Failure):
            pp.info.update({**dict.fromkeys(self._told), "GPEN": result.note})
        else:
            self._told = OURS & pp.info.keys()


def _switch() -> AbstractContextManager[Any]:
    """The control that switches GPEN on, around the others.

    No elem_id: A1111 may show this in three tabs, and a switch looks for its panel by id on the whole page. SD.Next
    puts each script into a panel of its own, and would not show the switch of one that is opened.
    """
    if host.has_face_restorers():
        return host.ui_components.InputAccordion(False, label=NAME)
    return nullcontext(gr.Checkbox(False, label="Enabled"))


def _restore(pp: Any, choice: Choice, values: Mapping[str, Any]) -> Restoration:
    options = controls.read_options(values)
    picture = pictures.from_pil(pp.image)
    result = EQUIPMENT.restore(picture.pixels, options, choice)
    path = choice.network_path()
    info = {**settings.remembered(options), **_restored(result, host.short_hash(path) or path.stem)}
    pp.image = pictures.to_pil(picture.with_pixels(result.image), like=pp.image)
    pp.info.update(info)
    return result


def _restored(result: Restoration, model: str) -> dict[str, Any]:
    """What the picture remembers besides the options; the host leaves out what is None."""
    return {
        "GPEN": None,
        "GPEN model": model,
        "GPEN faces restored": sum(face.restored for face in result.faces),
        "GPEN scale": round(result.scale, 3) if result.scale != 1 else None,
    }


def _control(info: OptionInfo) -> Any:
    kind, arguments = controls.component(info)
    default = _usual_strength(info) if info.name == "strength" else info.default
    value = controls.shown_value(info, default)
    elem_id = f"extras_gpen_{info.name}"
    made = kind(label=controls.label(info), value=value, info=info.help, elem_id=elem_id, **arguments)
    # Else the host writes down what the control starts with, and later starts with that instead of the setting.
    made.do_not_save_to_config = info.name == "strength"
    return made


def _usual_strength(info: OptionInfo) -> Any:
    """The setting, which the host takes from its file as it is: only where it is a strength."""
    value = host.option(settings.key(info.name), info.default)
    try:
        controls.read_options({info.name: value})
    except InvalidOptionError:
        return info.default
    return value
