"""Manners in ComfyUI: memory asked for once, interrupts obeyed at every stage, progress shown."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from itertools import chain

import comfy.model_management as mm
import torch
from comfy.model_patcher import ModelPatcher
from comfy.utils import ProgressBar
from PIL import Image
from torch import Tensor, nn

from ..shared.gpen2048 import Network

UNITS = 1000  # of the progress bar per frame
STAGES = 22  # of one face, about: the network's levels down and up, the crop and the paste
PREVIEW = 512  # px


def stop_if_interrupted() -> None:
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
    """Whether its weights are where they are used, or get there by themselves."""
    if isinstance(patcher.model, Network) or getattr(patcher, "is_dynamic", bool)():
        return True
    tensors = chain(patcher.model.parameters(), patcher.model.buffers())
    return all(tensor.device.type == torch.device(patcher.load_device).type for tensor in tensors)


@contextmanager
def interruptible(module: nn.Module | None) -> Generator[None]:
    """While this lasts, an interrupt is obeyed before each pass of `module`, which may be None."""
    handle = module.register_forward_pre_hook(lambda *_: stop_if_interrupted()) if module is not None else None
    try:
        yield
    finally:
        if handle is not None:
            handle.remove()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` is one that ComfyUI answers with less work."""
    known = getattr(mm, "is_oom", None)
    return known(error) if known is not None else isinstance(error, torch.cuda.OutOfMemoryError)


def intermediate_dtype() -> torch.dtype:
    """What ComfyUI wants images between nodes to be."""
    known = getattr(mm, "intermediate_dtype", None)
    return known() if known is not None else torch.float32


class FaceProgress:
    """One bar over all frames. Call `frame` before each, and give the restorer `tell`."""

    def __init__(self, frames: int):
        self._bar = ProgressBar(frames * UNITS)
        self._frame = 0
        self._value = 0
        self._face = -1
        self._stage = 0
        self._crop: Tensor | None = None

    def frame(self, number: int) -> None:
        stop_if_interrupted()
        self._frame, self._face = number, -1
        self._bar.update_absolute(number * UNITS)

    def show(self, crop: Tensor) -> None:
        """Keeps a small copy of a restored crop (3, S, S) in [0, 1] for the next step's preview."""
        small = nn.functional.interpolate(crop[None].float(), size=(PREVIEW, PREVIEW), mode="bilinear", antialias=True)
        self._crop = small[0].clamp(0, 1).mul(255).byte().permute(1, 2, 0).cpu()

    def tell(self, done: int, total: int, what: str) -> None:
        """The restorer's on_progress: obeys interrupts, moves the bar, shows the last restored crop."""
        stop_if_interrupted()
        self._stage = self._stage + 1 if done == self._face else 0
        self._face = done
        if total:
            faces = min(total, done + min(self._stage, STAGES - 1) / STAGES)
            # Of faces that are restored together the last one's crop comes before the first one's paste.
            self._value = max(self._value, int((self._frame + faces / total) * UNITS))
            self._bar.update_absolute(self._value, preview=self._preview())

    def _preview(self) -> tuple[str, Image.Image, int] | None:
        crop, self._crop = self._crop, None
        return None if crop is None else ("JPEG", Image.fromarray(crop.numpy()), PREVIEW)
