"""From the encoder's last feature to what every decoder layer needs for this batch's latent codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ..defaults import ordinary_tensors
from ..network import EPSILON
from .folding import FoldedNetwork
from .layers import StyledConvolution


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
    convolutions = network.convolutions
    all_styles = _styles(network, feature)
    styles = torch.split(all_styles, network.style_sizes, dim=1)
    modulations, gains = _modulations(convolutions, all_styles)
    constants = _constants(convolutions, gains, modulations)
    rgbs = [layer.modulated(style) for layer, style in zip(network.to_rgbs, styles[len(convolutions) :])]
    levels = [DecoderLevel(None, None, convolutions[0], constants[0], rgbs[0])]
    for number, rgb in enumerate(rgbs[1:], start=1):
        up, last = 2 * number - 1, 2 * number
        levels.append(DecoderLevel(convolutions[up], constants[up], convolutions[last], constants[last], rgb))
    constant = network.constant.value.to(feature.device, torch.float32)
    return constant * modulations[0][:, :, None, None], levels


def _constants(
    layers: Sequence[StyledConvolution], gains: Sequence[Tensor], modulations: Sequence[Tensor]
) -> list[Tensor]:
    """Every layer's constants for the passes (N, 6, C), with one copy for all of them."""
    n = len(gains[0])
    rows = [row for at, layer in enumerate(layers) for row in layer.constants(gains[at], modulations[at + 1 : at + 2])]
    parts = torch.split(torch.cat(rows, dim=1), [6 * gain.shape[1] for gain in gains], dim=1)
    return [part.reshape(n, 6, -1).contiguous() for part in parts]


def _modulations(layers: Sequence[StyledConvolution], styles: Tensor) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """What each layer's input (N, I) and output (N, O) is to be multiplied by, float32; `styles` begin with theirs.

    A style is divided by its largest value, which demodulation cancels. All layers at once, since a GPU does these
    small operations faster than they are launched.
    """
    device, n = styles.device, len(styles)
    inputs, outputs = ([layer.energy.shape[axis] for layer in layers] for axis in (1, 0))
    padded, of_inputs, of_outputs = _places(tuple(inputs), tuple(outputs), device)
    style = styles[:, : sum(inputs)]
    largest = F.pad(style.abs(), (0, 1)).index_select(1, padded).view(n, len(layers), -1).amax(dim=2)
    largest = largest.clamp_min(torch.finfo(torch.float32).tiny)
    scale = torch.cat([layer.scale.to(device, torch.float32) for layer in layers])
    modulations = style * (scale / largest).index_select(1, of_inputs)
    squares = torch.split(modulations.square(), inputs, dim=1)
    energies = [layer.energy.to(device, torch.float32) for layer in layers]
    variance = torch.cat([square @ energy.t() for square, energy in zip(squares, energies)], dim=1)
    epsilon = torch.cat([layer.epsilon.to(device, torch.float32) for layer in layers])
    gain = torch.rsqrt(variance + epsilon / largest.square().index_select(1, of_outputs))
    return torch.split(modulations, inputs, dim=1), torch.split(gain, outputs, dim=1)


@lru_cache
def _places(inputs: tuple[int, ...], outputs: tuple[int, ...], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Of all layers' values in one row: those of each, with the place after the last for padding; whose each is."""
    with ordinary_tensors():
        numbers = torch.arange(len(inputs))
        parts = torch.split(torch.arange(sum(inputs)), list(inputs))
        padded = torch.cat([F.pad(part, (0, max(inputs) - len(part)), value=sum(inputs)) for part in parts])
        of_inputs, of_outputs = (numbers.repeat_interleave(torch.tensor(counts)) for counts in (inputs, outputs))
        return padded.to(device), of_inputs.to(device), of_outputs.to(device)


def _styles(network: FoldedNetwork, feature: Tensor) -> Tensor:
    """(N, sum of all layers' inputs) float32."""
    code = network.code(feature.float().flatten(1))
    code = code * torch.rsqrt(code.square().mean(dim=1, keepdim=True) + EPSILON)
    for layer in network.mapping:
        code = layer(code)
    return network.styles(code)
