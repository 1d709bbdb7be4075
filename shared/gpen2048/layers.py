"""The folded network's layers: every parameter lies in one of these and follows its input's device and precision.

Axes: N batch, O output channels, I input channels, k kernel, C channels of one half of a concatenation.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .convolution import activate, convolve
from .network import ACTIVATION_GAIN, EPSILON


def _frozen(value: Tensor) -> nn.Parameter:
    return nn.Parameter(value, requires_grad=False)


class Convolution(nn.Module):
    """An encoder layer: convolution whose gain is folded; bias and leaky ReLU are left to the caller."""

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype):
        super().__init__()
        self.weight = _frozen(weight.to(dtype, memory_format=torch.channels_last))  # [OIkk]
        self.bias = _frozen(bias)

    def forward(self, x: Tensor) -> Tensor:
        return convolve(x, self.weight, stride=1 if self.weight.shape[-1] == 1 else 2)


class Linear(nn.Module):
    """A fully connected layer in float32, with leaky ReLU where the published layer has one."""

    def __init__(self, weight: Tensor, bias: Tensor, activate: bool):
        super().__init__()
        self.weight = _frozen(weight)
        self.bias = _frozen(bias)
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = (p.to(x.device, torch.float32) for p in (self.weight, self.bias))
        y = F.linear(x.float(), weight, bias)
        return activate(y) if self.activate else y


class Constant(nn.Module):
    """The learned 4x4 feature map the decoder starts from, float32."""

    def __init__(self, value: Tensor):
        super().__init__()
        self.value = _frozen(value)


class StyledConvolution(nn.Module):
    """Modulated 3x3 convolution with static weights: the style scales its input, demodulation its output.

    Each output channel's weights are divided by (the power of two next to) their norm, which demodulation cancels.
    """

    def __init__(self, weight: Tensor, bias: Tensor, feature_gain: Tensor, up: bool, scale: float, dtype: torch.dtype):
        super().__init__()
        norm = _power_of_two(torch.sqrt(weight.square().sum(dim=(1, 2, 3))))
        weight = weight / norm[:, None, None, None]
        channels = len(weight)
        gain = ACTIVATION_GAIN * (4.0 if up else 1.0)  # zeros between the pixels cost the FIR filter a gain of 4
        self.up = up
        self.scale = _frozen(weight.new_tensor([scale]))
        # What demodulation divides by, over the square of the gain that comes next.
        self.energy = _frozen(weight.square().sum(dim=(2, 3)) / gain**2)  # [OI]
        self.epsilon = _frozen(EPSILON * (scale / norm / gain).square())
        stored = weight.transpose(0, 1) if up else weight
        self.weight = _frozen(stored.to(dtype).contiguous(memory_format=torch.channels_last))
        self.bias = _frozen(bias[:channels].clone())
        self.feature_bias = _frozen(bias[channels:].clone())
        self.feature_gain = _frozen(feature_gain.expand(channels).clone())

    def constants(self, gain: Tensor, following: Tensor | None) -> Tensor:
        """(N, 6, C) float32 for `passes`: gain, bias, feature gain, feature bias, next modulation of both halves."""
        n, c = gain.shape
        fixed = (self.bias, self.feature_gain, self.feature_bias)
        rows = [gain[:, None], *(p.to(gain.device, torch.float32).expand(n, 1, c) for p in fixed)]
        rows.append(gain.new_ones(n, 2, c) if following is None else following.view(n, 2, c))
        return torch.cat(rows, dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Neither demodulated nor biased. 2H+1 rows for H with `up`; else H-2, as the caller pads the rows."""
        if self.up:
            return convolve(x, self.weight, stride=2, transposed=True)
        return convolve(x, self.weight, padding=(0, 1))


class ToRGB(nn.Module):
    """Weights (3, 2C) of a level's contribution to the image, and its bias (3,), float32."""

    def __init__(self, weight: Tensor, bias: Tensor):
        super().__init__()
        self.weight = _frozen(weight)
        self.bias = _frozen(bias)

    def modulated(self, style: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, 2C) and (3,)."""
        weight, bias = (p.to(style.device, torch.float32) for p in (self.weight, self.bias))
        return weight * style[:, None], bias


def _power_of_two(x: Tensor) -> Tensor:
    """The largest power of two up to x; 1 for 0."""
    _, exponent = torch.frexp(x.cpu())  # MPS had none up to torch 2.1
    return torch.ldexp(torch.ones_like(x), exponent.to(x.device) - 1).where(x > 0, torch.ones_like(x))
