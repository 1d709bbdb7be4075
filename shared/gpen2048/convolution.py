"""Convolution and activation in the precision of the input, whatever the processor has of its own."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .network import LEAKY_SLOPE


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: int = 1,
    padding: tuple[int, int] = (0, 0),
    groups: int = 1,
    transposed: bool = False,
) -> Tensor:
    """Convolution whose result is rounded to x's precision, in float32 until then where the CPU has no better.

    Channels last: cuDNN and oneDNN keep x's order of memory, MIOpen and CUDA without cuDNN do not.
    """
    dtype = x.dtype if x.device.type != "cpu" or _native(x.dtype) else torch.float32
    weight = weight.to(x.device, dtype)
    bias = None if bias is None else bias.to(x.device, dtype)
    if transposed:
        y = F.conv_transpose2d(x.to(dtype), weight, bias, stride, padding, groups=groups)
    else:
        y = F.conv2d(x.to(dtype), weight, bias, stride, padding, groups=groups)
    return y.to(x.dtype).contiguous(memory_format=torch.channels_last)


def lowers_convolutions(device: torch.device) -> bool:
    """Whether PyTorch writes out a matrix nine times as large as the input for every 3x3 convolution on `device`.

    So it does on NVIDIA's and AMD's GPUs without cuDNN and MIOpen, which hosts switch off for some cards of AMD.
    """
    return device.type == "cuda" and not torch.backends.cudnn.enabled


def copies_convolutions(device: torch.device) -> bool:
    """Whether convolutions on `device` copy input and output to another order of memory, as MIOpen does."""
    return device.type == "cuda" and torch.version.hip is not None


def activate(x: Tensor) -> Tensor:
    """Leaky ReLU without gain, in place where the type allows it."""
    if x.device.type == "cpu" and x.dtype == torch.float16:  # not in torch 2.1
        return F.leaky_relu_(x.float(), LEAKY_SLOPE).to(x.dtype)
    return F.leaky_relu_(x, LEAKY_SLOPE)


def _native(dtype: torch.dtype) -> bool:
    """Whether oneDNN convolves this type on this CPU; float16 it would only convert back and forth."""
    if dtype == torch.bfloat16:
        supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
        return supported is not None and bool(supported())
    return dtype == torch.float32
