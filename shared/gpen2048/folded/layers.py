"""The folded network's layers: every parameter lies in one of these and follows its input's device and precision.

Axes: N batch, O output channels, I input channels, k kernel, C channels of one half of a concatenation.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..network import ACTIVATION_GAIN, EPSILON
from .convolution import activate, convolve
from .window_weights import CHANNELS, MULTIPLE, doubling_windows, painting_windows, shrinking_windows


def _frozen(value: Tensor) -> nn.Parameter:
    return nn.Parameter(value, requires_grad=False)


class Convolution(nn.Module):
    """An encoder layer: convolution whose gain is folded; bias and leaky ReLU are left to the caller.

    `window` is the weight as Triton's products want it, where channels are few enough for them.
    """

    window: nn.Parameter | None

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype):
        super().__init__()
        few = weight.shape[1] in CHANNELS and weight.shape[2] == 3
        self.window = _frozen(shrinking_windows(weight).to(dtype)) if few else None
        self.weight = _frozen(weight.to(dtype, memory_format=torch.channels_last))  # [OIkk]
        self.bias = _frozen(bias)

    def forward(self, x: Tensor, padding: int = 0) -> Tensor:
        """With `padding` rows of zeros on either side."""
        return convolve(x, self.weight, stride=1 if self.weight.shape[-1] == 1 else 2, padding=(padding, 0))


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
    `window` is the weight as Triton's products want it, where channels are few enough for them.
    """

    window: nn.Parameter | None

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
        few = channels in CHANNELS and (not up or weight.shape[1] % MULTIPLE == 0)
        self.window = _frozen((doubling_windows if up else painting_windows)(weight).to(dtype)) if few else None
        stored = weight.transpose(0, 1) if up else weight
        self.weight = _frozen(stored.to(dtype).contiguous(memory_format=torch.channels_last))
        self.bias = _frozen(bias[:channels].clone())
        self.feature_bias = _frozen(bias[channels:].clone())
        self.feature_gain = _frozen(feature_gain.expand(channels).clone())

    def constants(self, gain: Tensor, following: Sequence[Tensor]) -> list[Tensor]:
        """Rows (N, C or 2C) float32 for `passes`: gain, bias, feature gain and bias, next modulation of both halves.

        `following` is the next layer's modulation (N, 2C), if there is one.
        """
        n, c = gain.shape
        fixed = (self.bias, self.feature_gain, self.feature_bias)
        rows = [gain, *(p.to(gain.device, torch.float32).expand(n, c) for p in fixed)]
        return [*rows, *(following or [gain.new_ones(n, 2 * c)])]

    def forward(self, x: Tensor, padding: int = 0) -> Tensor:
        """Neither demodulated nor biased. 2H+1 rows for H with `up`; else H-2, and `padding` rows on either side."""
        if self.up:
            return convolve(x, self.weight, stride=2, transposed=True)
        return convolve(x, self.weight, padding=(padding, 1))


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
    return torch.ldexp(torch.ones_like(x), exponent.to(x) - 1).where(x > 0, torch.ones_like(x))
