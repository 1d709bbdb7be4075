"""The published weights with every constant factor folded in: gains, learning-rate scales, style normalisation.

Stored activations may carry a power of two per layer (`Scales`), so that half precision neither overflows nor
underflows. Leaky ReLU is positively homogeneous and demodulation cancels a factor of the weights, so this is exact.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from ..network import ACTIVATION_GAIN, MAPPING_LAYERS, MAPPING_LR, NetworkConfig
from .layers import Constant, Convolution, Linear, StyledConvolution, ToRGB


@dataclass(frozen=True)
class Scales:
    """Powers of two by which stored activations are multiplied: encoder features (full size first), decoder inputs."""

    features: tuple[float, ...]
    inputs: tuple[float, ...]

    @classmethod
    def none(cls, config: NetworkConfig) -> Scales:
        levels = len(config.resolutions)
        return cls((1.0,) * levels, (1.0,) * (2 * levels - 1))


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
