"""The picture that the faces are laid onto: the photo, or the photo enlarged."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import UnsoundResultError
from .resampling import lanczos_resize

Background = Callable[[Tensor, tuple[int, int]], Tensor]


def enlarge(image: Tensor, scale: float, background: Tensor | Background | None = None) -> Tensor:
    """`image` (3, H, W) in [0, 1] enlarged by `scale` to (3, H', W'), on its device; itself at scale 1.

    By Lanczos, or `background` (3, H', W'), or what that gives for (image, (H', W')), such as a host's upscale model.
    Raises ValueError when it has another shape or dtype, and UnsoundResultError when it made no numbers.
    """
    size = (round(image.shape[1] * scale), round(image.shape[2] * scale))
    if isinstance(background, Tensor):
        enlarged = background
    elif scale == 1:
        return image
    elif background is None:
        return lanczos_resize(image, scale, size).clamp_(0, 1)
    else:
        enlarged = background(image, size)
        if not _is_finite(enlarged) and _is_finite(image):
            raise UnsoundResultError("the upscale model gave values that are no numbers; its file may be damaged")
    if enlarged.shape != (3, *size) or enlarged.dtype != torch.float32:
        raise ValueError(f"background is {enlarged.dtype} {tuple(enlarged.shape)}; wanted torch.float32 {(3, *size)}")
    return enlarged.to(image.device)


def _is_finite(image: Tensor) -> bool:
    return bool(image.sum().isfinite())
