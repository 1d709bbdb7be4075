"""The published weights with every constant factor folded in: gains, learning-rate scales, style normalisation.

Stored activations may carry a power of two per layer (`Scales`), so that half precision neither overflows nor
underflows. Leaky ReLU is positively homogeneous and demodulation cancels a factor of the weights, so this is exact.

Axes: N batch, O output channels, I input channels, k kernel, C channels of one half of a concatenation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .convolution import activate, convolve
from .network import ACTIVATION_GAIN, EPSILON, MAPPING_LAYERS, MAPPING_LR, NetworkConfig


@dataclass(frozen=True)
class Scales:
    """Powers of two by which stored activations are multiplied: encoder features (full size first), decoder inputs."""

    features: tuple[float, ...]
    inputs: tuple[float, ...]

    @classmethod
    def none(cls, config: NetworkConfig) -> Scales:
        levels = len(config.resolutions)
        return cls((1.0,) * levels, (1.0,) * (2 * levels - 1))


def _frozen(value: Tensor) -> nn.Parameter:
    return nn.Parameter(value, requires_grad=False)


class Convolution(nn.Module):
    """An encoder layer: convolution whose bias and gain are folded; the leaky ReLU is left to the caller."""

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype):
        super().__init__()
        self.weight = _frozen(weight.to(dtype, memory_format=torch.channels_last))  # [OIkk]
        self.bias = _frozen(bias)

    def forward(self, x: Tensor) -> Tensor:
        return convolve(x, self.weight, self.bias, stride=1 if self.weight.shape[-1] == 1 else 2)


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
        self.up = up
        self.scale = scale
        self.energy = _frozen(weight.square().sum(dim=(2, 3)))  # [OI]
        self.epsilon = _frozen(EPSILON * (scale / norm).square())
        stored = weight.transpose(0, 1) if up else weight
        self.weight = _frozen(stored.to(dtype).contiguous(memory_format=torch.channels_last))
        self.bias = _frozen(bias[:channels].clone())
        self.feature_bias = _frozen(bias[channels:].clone())
        self.feature_gain = _frozen(feature_gain.expand(channels).clone())

    def modulation(self, style: Tensor) -> tuple[Tensor, Tensor]:
        """What the input is to be multiplied by (N, I) and the output (N, O), float32."""
        energy, epsilon = (p.to(style.device, torch.float32) for p in (self.energy, self.epsilon))
        largest = style.abs().amax(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
        style = style / largest * self.scale
        variance = torch.addmm(epsilon / largest.square(), style.square(), energy.t())
        gain = ACTIVATION_GAIN * (4.0 if self.up else 1.0)  # zeros between the pixels cost the FIR filter a gain of 4
        return style, torch.rsqrt(variance) * gain

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
    _, exponent = torch.frexp(x)
    return torch.ldexp(torch.ones_like(x), exponent - 1).where(x > 0, torch.ones_like(x))


class FoldedNetwork(nn.Module):
    """All constants of a network in leaf modules; `inference.Network` adds what happens between them."""

    def __init__(self, config: NetworkConfig, state: Mapping[str, Tensor], dtype: torch.dtype, scales: Scales):
        super().__init__()
        self.config = config
        levels = len(config.resolutions)
        names = ["conv1", *(f"convs.{number}" for number in range(2 * levels - 2))]
        images = ["to_rgb1", *(f"to_rgbs.{number}" for number in range(levels - 1))]
        self.encoder = nn.ModuleList(_encoder_layer(state, number, scales, dtype) for number in range(levels))
        weight = _equalised(state["final_linear.0.weight"].float()) * (ACTIVATION_GAIN / scales.features[-1])
        self.code = Linear(weight, state["final_linear.0.bias"].float() * ACTIVATION_GAIN, activate=True)
        self.mapping = nn.ModuleList(_mapping_layer(state, number + 1) for number in range(MAPPING_LAYERS))
        self.styles = _all_styles(state, [f"generator.{name}.conv.modulation" for name in names + images])
        self.constant = Constant(state["generator.input.input"].float().clone())
        self.convs = nn.ModuleList(_styled(state, name, order, scales, dtype) for order, name in enumerate(names))
        self.images = nn.ModuleList(_to_rgb(state, f"generator.{name}") for name in images)

    @property
    def encoder_layers(self) -> list[Convolution]:
        """From the full size down to 4x4."""
        return cast("list[Convolution]", list(self.encoder))

    @property
    def convolutions(self) -> list[StyledConvolution]:
        """From 4x4 up; every second one doubles the size."""
        return cast("list[StyledConvolution]", list(self.convs))

    @property
    def to_rgbs(self) -> list[ToRGB]:
        """From 4x4 up."""
        return cast("list[ToRGB]", list(self.images))

    @property
    def style_sizes(self) -> list[int]:
        """Input channels of every convolution, then of every image layer: how `styles` is divided."""
        return [c.energy.shape[1] for c in self.convolutions] + [rgb.weight.shape[1] for rgb in self.to_rgbs]


def _equalised(weight: Tensor) -> Tensor:
    return weight / math.sqrt(weight[0].numel())


def _encoder_layer(state: Mapping[str, Tensor], number: int, scales: Scales, dtype: torch.dtype) -> Convolution:
    position = 0 if number == 0 else 1  # the FIR filter comes first in all but the first layer
    prefix = f"ecd{number}.0"
    scale = scales.features[number]
    before = 1.0 if number == 0 else scales.features[number - 1]
    weight = _equalised(state[f"{prefix}.{position}.weight"].float()) * (ACTIVATION_GAIN * scale / before)
    return Convolution(weight, state[f"{prefix}.{position + 1}.bias"].float() * (ACTIVATION_GAIN * scale), dtype)


def _mapping_layer(state: Mapping[str, Tensor], number: int) -> Linear:
    weight, bias = (state[f"generator.style.{number}.{name}"].float() for name in ("weight", "bias"))
    gain = MAPPING_LR * ACTIVATION_GAIN
    return Linear(_equalised(weight) * gain, bias * gain, activate=True)


def _all_styles(state: Mapping[str, Tensor], prefixes: list[str]) -> Linear:
    """Every layer's modulation as one matrix: convolutions in their order, then the images."""
    weight = torch.cat([_equalised(state[f"{prefix}.weight"].float()) for prefix in prefixes])
    return Linear(weight, torch.cat([state[f"{prefix}.bias"].float() for prefix in prefixes]), activate=False)


def _styled(
    state: Mapping[str, Tensor], name: str, order: int, scales: Scales, dtype: torch.dtype
) -> StyledConvolution:
    weight = _equalised(state[f"generator.{name}.conv.weight"][0].float())
    bias = state[f"generator.{name}.activate.bias"].float() * ACTIVATION_GAIN
    level = len(scales.features) - 1 - (order + 1) // 2
    feature_gain = state[f"generator.{name}.noise.weight"].float() * (ACTIVATION_GAIN / scales.features[level])
    return StyledConvolution(weight, bias, feature_gain, order % 2 == 1, scales.inputs[order], dtype)


def _to_rgb(state: Mapping[str, Tensor], prefix: str) -> ToRGB:
    weight = _equalised(state[f"{prefix}.conv.weight"][0].float())
    return ToRGB(weight.flatten(1), state[f"{prefix}.bias"].float().flatten().clone())
