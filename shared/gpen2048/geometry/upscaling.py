"""The picture behind the faces, enlarged by an upscale model that spandrel knows (ESRGAN, DAT, SwinIR and others)."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..defaults import ordinary_tensors
from ..errors import CheckpointError, InvalidOptionError, is_out_of_memory
from ..weight_files.describing import describe_state_dict
from ..weight_files.state_dicts import read_state_dict
from .resampling import lanczos_resize

TILE = 512  # px of the input run at once, which bounds the memory
MARGIN = 32  # px around a tile that the model sees too, so that tiles meet without a seam
PREFIXES = ("module.", "netG.")  # that trainers leave before every key
LONGEST_REASON = 200  # letters of spandrel's text in an error; it names every tensor that does not fit


class Upscaler:
    """Enlarges pictures with `model`; a background for FaceRestorer."""

    def __init__(self, model: Any):
        self.model = model
        self.scale = int(model.scale)

    @torch.no_grad()
    def __call__(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        """`image` (3, H, W) float32 RGB in [0, 1] as (3, *size) on the same device.

        The model enlarges by its own factor; Lanczos does the rest, in either direction.
        """
        height, width = image.shape[1:]
        enlarged = image.new_empty((3, height * self.scale, width * self.scale))
        for top in range(0, height, TILE):
            for left in range(0, width, TILE):
                self._enlarge_tile(image, top, left, enlarged)
        return fitted(enlarged, size).clamp_(0, 1)

    def _enlarge_tile(self, image: Tensor, top: int, left: int, enlarged: Tensor) -> None:
        bottom, right = min(top + TILE, image.shape[1]), min(left + TILE, image.shape[2])
        first_row, first_column = max(0, top - MARGIN), max(0, left - MARGIN)
        seen = image[None, :, first_row : bottom + MARGIN, first_column : right + MARGIN]
        result = self.model(seen)[0].float()
        s = self.scale
        rows = slice((top - first_row) * s, (bottom - first_row) * s)
        columns = slice((left - first_column) * s, (right - first_column) * s)
        enlarged[:, top * s : bottom * s, left * s : right * s] = result[:, rows, columns]


def fitted(enlarged: Tensor, size: tuple[int, int]) -> Tensor:
    """`enlarged` (3, H, W), of any scale, as (3, *size) on its device; itself, if that is its size.

    Both axes have one scale, as the faces to be laid onto it have: that of the longer side, which rounding to whole
    pixels changes least.
    """
    longer = int(enlarged.shape[2] > enlarged.shape[1])
    return lanczos_resize(enlarged, size[longer] / enlarged.shape[1 + longer], size)


@ordinary_tensors()
def load_upscaler(path: str | Path, *, device: torch.device | str = "cpu") -> Upscaler:
    """The upscale model in a .pth, .pt or .safetensors file, on `device`.

    Raises CheckpointError when the file is damaged or no model that enlarges RGB pictures, and InvalidOptionError
    when spandrel is not installed.
    """
    try:
        spandrel: Any = importlib.import_module("spandrel")  # typed, but not always there to check against
    except ImportError as error:
        raise InvalidOptionError('an upscale model needs spandrel, which the extra "upscale" brings') from error
    state = read_state_dict(path, numbers=True)  # such as the "pro" of Real-CUGAN's
    for prefix in PREFIXES:
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
    try:
        model = spandrel.ModelLoader().load_from_state_dict(state)
    except Exception as error:  # whatever weights that do not fit lead to
        if is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:LONGEST_REASON]
        seen = f"{describe_state_dict(state)}{f' ({reason})' if reason else ''}"
        raise CheckpointError(f"{path}: this is {seen}; wanted an upscale model that spandrel knows") from error
    if not isinstance(model, spandrel.ImageModelDescriptor) or (model.input_channels, model.output_channels) != (3, 3):
        what = model.architecture.name
        raise CheckpointError(f"{path}: this is a {what} model; wanted one that enlarges RGB pictures")
    return Upscaler(model.to(torch.device(device)).train(False))
