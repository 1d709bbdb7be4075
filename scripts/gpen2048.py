"""AUTOMATIC1111's door: makes this folder a uniquely named package and lets it register itself; no logic here.

Extensions share one sys.modules, and the host keeps their folders on sys.path for a moment only. A package of our own
name makes relative and lazy imports work in every host of the family, and never runs ComfyUI's __init__.py.
"""

import importlib
import sys
import types

from modules import scripts

ALIAS = "sd_webui_gpen2048"

if ALIAS not in sys.modules:
    package = types.ModuleType(ALIAS)
    package.__path__ = [scripts.basedir()]
    sys.modules[ALIAS] = package

# The host finds the scripts for Extras and for txt2img and img2img among this file's names.
GpenPostprocessing, GpenInfotext = importlib.import_module(f"{ALIAS}.a1111_gpen.registration").register()
