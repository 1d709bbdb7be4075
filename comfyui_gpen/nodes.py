"""All nodes, as ComfyUI asks for them. What they offer is theirs; what they do is imported when they run."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .companion_nodes import GPENDetectFaces, GPENRestoreCrop
from .loading_node import GPENLoader
from .restoring_node import GPENRestoreFaces


class GpenExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [GPENLoader, GPENRestoreFaces, GPENDetectFaces, GPENRestoreCrop]
