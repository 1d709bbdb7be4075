"""Saying what is in a weight file that is not what was wanted."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

SHOWN_KEYS = 3  # keys quoted in an error


def describe_state_dict(state: Mapping[str, Tensor]) -> str:
    """Which network these keys belong to, in words for an error message."""
    marks = {
        "generator.input.input": "a GPEN network",
        "final_linear.0.weight": "a discriminator (the -D file of GPEN's training)",
        "ClassHead.0.conv1x1.weight": "a RetinaFace detector",
        "out_mask_conv.conv2d.weight": "a ParseNet face parser",
        "stylegan_decoder.constant_input.weight": "a GFPGAN network",
        "quantize.embedding.weight": "a CodeFormer network",
        "conv_first.weight": "an ESRGAN upscaler",
        "model.diffusion_model.input_blocks.0.0.weight": "a Stable Diffusion checkpoint",
    }
    for mark, name in marks.items():
        if mark in state:
            return name
    keys = ", ".join(list(state)[:SHOWN_KEYS])
    return f"an unknown network of {len(state)} tensors ({keys}, …)"


def all_finite(tensor: Tensor) -> bool:
    """Whether no number in `tensor` is NaN or infinite in float32, in which networks are folded.

    Told from its extremes: NaN is one of them where it occurs.
    """
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    return all(bool(torch.isfinite(extreme)) for extreme in torch.aminmax(tensor.float()))
