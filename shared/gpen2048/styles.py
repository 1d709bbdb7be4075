"""From the encoder's last feature to what every decoder layer needs for this batch's latent codes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .folding import FoldedNetwork
from .layers import StyledConvolution
from .network import EPSILON


@dataclass(frozen=True)
class DecoderLevel:
    """A level's layers with the constants of this batch's styles; the 4x4 level has no `up`."""

    up: StyledConvolution | None
    up_constants: Tensor | None
    convolution: StyledConvolution
    constants: Tensor
    rgb: tuple[Tensor, Tensor]  # weights (N, 3, 2C) and bias (3,)


def decoder(network: FoldedNetwork, feature: Tensor) -> tuple[Tensor, list[DecoderLevel]]:
    """The modulated 4x4 input (N, C, 4, 4) and the levels from 4x4 up; `feature` is the encoder's (N, C, 4, 4)."""
    styles = torch.split(_styles(network, feature), network.style_sizes, dim=1)
    convolutions = network.convolutions
    modulations = [layer.modulation(style) for layer, style in zip(convolutions, styles)]
    following = [style for style, _ in modulations[1:]] + [None]
    constants = [layer.constants(m[1], after) for layer, m, after in zip(convolutions, modulations, following)]
    rgbs = [layer.modulated(style) for layer, style in zip(network.to_rgbs, styles[len(convolutions) :])]
    levels = [DecoderLevel(None, None, convolutions[0], constants[0], rgbs[0])]
    for number, rgb in enumerate(rgbs[1:], start=1):
        up, last = 2 * number - 1, 2 * number
        levels.append(DecoderLevel(convolutions[up], constants[up], convolutions[last], constants[last], rgb))
    constant = network.constant.value.to(feature.device, torch.float32)
    return constant * modulations[0][0][:, :, None, None], levels


def _styles(network: FoldedNetwork, feature: Tensor) -> Tensor:
    """(N, sum of all layers' inputs) float32."""
    code = network.code(feature.float().flatten(1))
    code = code * torch.rsqrt(code.square().mean(dim=1, keepdim=True) + EPSILON)
    for layer in network.mapping:
        code = layer(code)
    return network.styles(code)
