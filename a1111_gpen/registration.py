"""Everything this extension puts into the host."""

from __future__ import annotations

from . import api, face_restoration, generation, host, settings
from .generation import GpenInfotext
from .postprocessing import GpenPostprocessing


def register() -> tuple[type[GpenPostprocessing], type[GpenInfotext] | None]:
    """Runs at the host's start and at every Reload UI, which forgets callbacks but not face restorers.

    Gives the scripts that the host finds by their names in scripts/. SD.Next has no list of face restorers and its own
    ways with accounts; it gets the Extras script and its settings.
    """
    host.show_warnings()
    host.script_callbacks.on_ui_settings(settings.add_section)
    if not host.has_face_restorers():
        return GpenPostprocessing, None
    host.script_callbacks.on_before_ui(generation.add_axis)
    host.script_callbacks.on_app_started(api.add_routes)
    host.script_callbacks.on_script_unloaded(face_restoration.unregister)
    if hasattr(host.script_callbacks, "on_infotext_pasted"):
        host.script_callbacks.on_infotext_pasted(generation.reset_others)
    face_restoration.register()
    return GpenPostprocessing, GpenInfotext
