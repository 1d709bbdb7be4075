"""ComfyUI's door: "Load GPEN", "Restore Faces" and their small companions.

Everything is imported when ComfyUI asks for the nodes, so that this file can be imported without it.
"""

from __future__ import annotations

from typing import Any

WEB_DIRECTORY = "./web"  # help pages; served under this folder's name, whatever that is


async def comfy_entrypoint() -> Any:
    """The extension with all nodes, as ComfyUI's V3 loader wants it."""
    from .comfyui_gpen.nodes import GpenExtension

    return GpenExtension()
