"""GPEN in txt2img and img2img: what the picture remembers, and the axis of the X/Y/Z grid."""

from __future__ import annotations

from typing import Any

from ..shared.gpen2048 import InvalidOptionError, RestoreOptions
from . import host, settings
from .face_restoration import GpenFaceRestoration

AXIS = settings.infotext_name("strength")
MODEL = "GPEN model"
NOTE = "GPEN"
RESTORED = "GPEN faces restored"  # by the script for Extras, where that is on, too
GRIDS = ("xyz_grid.py", "scripts.xyz_grid")  # what the host's grid script calls its module


class GpenInfotext(host.scripts.Script):
    """Writes GPEN's options and model beside the host's own "Face restoration: GPEN-2048"."""

    create_group = False  # there is nothing to show

    def title(self) -> str:
        return "GPEN-2048 infotext"

    def show(self, is_img2img: bool) -> Any:
        return host.scripts.AlwaysVisible

    def process(self, p: Any, *args: Any) -> None:
        _forget(p.extra_generation_params)
        restorer = _restorer_of(p)
        if restorer is None:
            return
        restorer.take_failure()  # that of an earlier picture
        try:
            p.extra_generation_params.update(settings.remembered(settings.restorer_options()))
        except InvalidOptionError:
            return  # the restorer itself will say so
        path = restorer.choice().known_path()
        if path is not None:  # else it is fetched, or missed, when there is a picture to restore
            p.extra_generation_params[MODEL] = host.short_hash(path) or path.stem

    def postprocess_image(self, p: Any, pp: Any, *args: Any) -> None:
        """Tells of a picture that was left as it was; the host has restored it just now, and next makes its text.

        The options stay in the text, as the prompt does: pasting it is how one tries again.
        """
        restorer = _restorer_of(p)
        if restorer is not None:
            failure = restorer.take_failure()
            left = failure and not p.extra_generation_params.get(RESTORED)
            p.extra_generation_params[NOTE] = failure.note if left else None  # pictures of a batch share their texts


def _forget(remembered: dict[str, Any]) -> None:
    """Takes back what another picture has put there: those of a grid, or of a file of prompts, share their texts."""
    ours = {*settings.remembered(RestoreOptions()), MODEL, NOTE}
    remembered.update(dict.fromkeys(ours & remembered.keys()))


def reset_others(infotext: str, params: dict[str, Any]) -> None:
    """The host's on_infotext_pasted callback: what the text of a restored picture leaves out was the default.

    The host drops what the settings have already; what the user told it to disregard stays out.
    """
    if AXIS not in params:
        return
    disregarded = host.option("infotext_skip_pasting", [])
    for name, default in settings.defaults().items():
        if name not in disregarded:
            params.setdefault(name, default)


def _restorer_of(p: Any) -> GpenFaceRestoration | None:
    """The one that is to restore the pictures of `p`, if it is one of ours."""
    if not getattr(p, "restore_faces", False):
        return None
    name = host.option("face_restoration_model")
    known = [x for x in host.shared.face_restorers if isinstance(x, GpenFaceRestoration)]
    return next((restorer for restorer in known if restorer.name() == name), None)


def add_axis() -> None:
    """Adds "GPEN strength" to the X/Y/Z grid, once, if the host has that script."""
    for script in host.scripts.scripts_data:
        grid = getattr(script, "module", None)
        if script.script_class.__module__ not in GRIDS or not hasattr(grid, "axis_options"):
            continue
        if AXIS not in [axis.label for axis in grid.axis_options]:
            grid.axis_options.append(grid.AxisOption(AXIS, float, _apply_strength))


def _apply_strength(p: Any, value: float, values: list[float]) -> None:
    """What the grid calls for each of `values`. Not the grid's own apply_override, which Forge Classic hides."""
    p.override_settings[settings.key("strength")] = value
