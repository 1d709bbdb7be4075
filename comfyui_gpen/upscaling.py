"""The picture behind the faces, enlarged by one of ComfyUI's upscale models."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import comfy.model_management as mm
import comfy.utils
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ..shared.gpen2048.geometry.upscaling import fitted
from .host import is_out_of_memory, stop_if_interrupted

TILE, SMALLEST_TILE, OVERLAP = 512, 128, 32  # px, as ComfyUI's own ImageUpscaleWithModel has them
BYTES_PER_PIXEL = 3 * 4 * 384  # and its estimate of what a model needs for one pixel of a tile


class ModelBackground:
    """Enlarges with `upscale_model`, an UPSCALE_MODEL; use in a with statement, as the restorer's background.

    ComfyUI's newer loaders hand out a managed model; that of an older one is moved by hand, as its own node does it.
    """

    def __init__(self, upscale_model: Any):
        self._model = upscale_model
        self.patchers: list[ModelPatcher] = [patcher] if (patcher := getattr(upscale_model, "patcher", None)) else []

    def memory_required(self) -> int:
        """Bytes of activations, in ComfyUI's own estimate."""
        return int(TILE * TILE * BYTES_PER_PIXEL * max(self._model.scale, 1.0))

    def __enter__(self) -> ModelBackground:
        if not self.patchers:
            mm.free_memory(self.memory_required() + mm.module_size(self._model.model), mm.get_torch_device())
            self._model.to(mm.get_torch_device())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.patchers:
            self._model.to("cpu")

    def __call__(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        """`image` (3, H, W) as (3, *size), on its device; the model's own factor is brought to `size` by resampling."""
        return fitted(self._enlarge(image[None])[0], size).clamp(0, 1)

    def _enlarge(self, image: Tensor) -> Tensor:
        tile = TILE
        while True:
            try:
                return self._enlarge_in_tiles(image, tile)
            except Exception as error:
                if not is_out_of_memory(error) or tile // 2 < SMALLEST_TILE:
                    raise
            mm.soft_empty_cache()
            tile //= 2

    def _enlarge_in_tiles(self, image: Tensor, tile: int) -> Tensor:
        return comfy.utils.tiled_scale(
            image,
            self._run,
            tile_x=tile,
            tile_y=tile,
            overlap=OVERLAP,
            upscale_amount=self._model.scale,
            output_device=image.device,
        )

    def _run(self, part: Tensor) -> Tensor:
        stop_if_interrupted()
        with torch.inference_mode():
            return self._model(part).float()
