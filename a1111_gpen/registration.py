"""Everything this extension puts into the host."""

from __future__ import annotations

from . import face_restoration, host, settings
from .postprocessing import GpenPostprocessing


def register() -> type[GpenPostprocessing]:
    """Runs at the host's start and at every Reload UI, which forgets callbacks but not face restorers.

    Gives the Extras script, which the host finds by its name in scripts/.
    """
    host.script_callbacks.on_ui_settings(settings.add_section)
    host.script_callbacks.on_script_unloaded(face_restoration.unregister)
    face_restoration.register()
    return GpenPostprocessing
