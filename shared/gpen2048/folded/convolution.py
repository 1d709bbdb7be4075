"""Convolution and activation in the precision of the input, whatever the processor has of its own."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..network import LEAKY_SLOPE


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
    dtype = torch.float32 if widens_convolutions(x.device, x.dtype) else x.dtype
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


def copies_convolutions(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether convolutions copy input and output to another order of memory: MIOpen's, and cuDNN's without TF32."""
    if device.type != "cuda":
        return False
    return torch.version.hip is not None or (dtype == torch.float32 and not allows_tf32())


def widens_convolutions(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether `convolve` copies input, weight and result to float32, as on CPUs that have no better."""
    return device.type == "cpu" and not _native(dtype)


def allows_tf32() -> bool:
    """Whether PyTorch may have CUDA convolve float32 in TF32, as it does unless told otherwise."""
    try:
        return torch.backends.cudnn.allow_tf32
    except RuntimeError:  # told in the words of torch 2.9 and later
        convolutions: Any = torch.backends.cudnn
        return convolutions.conv.fp32_precision == "tf32"


def multiplies_in_tf32() -> bool:
    """Whether PyTorch may have CUDA multiply float32 matrices in TF32, as A1111 tells it to."""
    try:
        return bool(torch.backends.cuda.matmul.allow_tf32)
    except RuntimeError:
        matrices: Any = torch.backends.cuda.matmul
        return matrices.fp32_precision == "tf32"


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
