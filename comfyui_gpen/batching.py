"""How many faces go through the network at once, and what memory that takes."""

from __future__ import annotations

import comfy.model_management as mm

from ..shared.gpen2048 import memory
from .model import GpenModel

MOST_AT_ONCE = 4  # more gain nothing at 2048 px
SHARE = 0.5  # of the memory that is free now: a batch is not worth another model's place


def network_bytes(model: GpenModel, faces: int) -> int:
    """Bytes of activations and crops of `faces` at once on the computing device."""
    return memory.network_bytes(model.network, faces, model.patcher.load_device)


def faces_at_once(model: GpenModel, wanted: int = MOST_AT_ONCE, *, held: int = 0) -> int:
    """How many of `wanted` faces fit easily, with `held` bytes for the picture of each.

    1 on the CPU, where four at once save a twentieth of the network's time (512 px) for three times its memory.
    """
    device = model.patcher.load_device
    if mm.is_device_cpu(device):
        return 1
    free = mm.get_free_memory(device) * SHARE
    possible = range(2, min(wanted, MOST_AT_ONCE) + 1)
    return max((faces for faces in possible if network_bytes(model, faces) + held * faces <= free), default=1)
