"""Manners in ComfyUI: memory asked for once, interrupts obeyed at every stage."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from itertools import chain

import comfy.model_management as mm
import torch
from comfy.model_patcher import ModelPatcher

from ..shared.gpen2048 import Network
from ..shared.gpen2048 import is_out_of_memory as any_out_of_memory


def stop_if_interrupted(_doing: str = "") -> None:
    """Raises ComfyUI's own exception when the user has pressed Cancel; let it through."""
    mm.throw_exception_if_processing_interrupted()


@contextmanager
def loaded(patchers: Sequence[ModelPatcher], memory_required: int) -> Generator[torch.device]:
    """All models of one operation on their device, with `memory_required` bytes left for activations.

    Under --novram ComfyUI leaves weights where they are. GPEN's layers fetch theirs at use; the small other models do
    not, so those that were left behind are brought here for as long as this lasts.
    """
    mm.load_models_gpu(list(patchers), memory_required=memory_required, force_full_load=True)
    behind = [patcher for patcher in patchers if not _is_resident(patcher)]
    try:
        for patcher in behind:
            patcher.model.to(patcher.load_device)
        yield patchers[0].load_device
    finally:
        for patcher in behind:
            patcher.model.to(patcher.offload_device)


def _is_resident(patcher: ModelPatcher) -> bool:
    """Whether its weights are where they are used, or get there by themselves.

    A dynamic patcher (ComfyUI 0.16) leaves some behind, too, for layers to fetch, which only ComfyUI's own do.
    """
    if isinstance(patcher.model, Network):
        return True
    tensors = chain(patcher.model.parameters(), patcher.model.buffers())
    return all(tensor.device.type == torch.device(patcher.load_device).type for tensor in tensors)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether less work may help against `error`. ComfyUI's own answer, in newer versions, also clears CUDA's state."""
    known = getattr(mm, "is_oom", None)
    return (known is not None and known(error)) or any_out_of_memory(error)


def intermediate_dtype() -> torch.dtype:
    """What ComfyUI wants images between nodes to be."""
    known = getattr(mm, "intermediate_dtype", None)
    return known() if known is not None else torch.float32
