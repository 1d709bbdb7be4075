"""Weights whose network returns its input, or visibly sharpens it: a known right answer for the whole pipeline.

All weights are zero but these. The first encoder layer copies RGB, lifted into the linear half of the leaky ReLU. The
last styled convolution carries those channels in its concatenated half, and the last to_rgb picks them out.
Sharpening adds what a sixteen times coarser level of the encoder lacks, through that level's to_rgb.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..network import ACTIVATION_GAIN, SMALLEST, NetworkConfig, fir_kernel, parameter_shapes

LIFT = 2.0  # added to RGB in [-1, 1]: all of it positive, hence in the linear half of every leaky ReLU
COARSER = 16  # the sharpening filter compares with the face reduced by this factor


def passthrough_state_dict(config: NetworkConfig, sharpen: float = 0.0) -> dict[str, Tensor]:
    """A float32 state dict in the released layout, whose network gives x + `sharpen` · (x − x made 16x coarser).

    Raises ValueError when the network is too narrow to carry RGB at its full size.
    """
    if config.channels(config.size) < 3:
        raise ValueError(f"{config} has {config.channels(config.size)} channels at full size; wanted at least 3")
    shapes = parameter_shapes(config)
    state = {key: torch.zeros(shape, dtype=torch.float32, device="cpu") for key, shape in shapes.items()}
    for key in state:
        if key.endswith(".kernel"):
            state[key] = fir_kernel(gain=4 if key.startswith("generator.") else 1)
        elif key.endswith("modulation.bias"):
            state[key].fill_(1)
    _carry_rgb_down(state, config)
    _emit(state, config, config.size, 1 + sharpen)
    if sharpen:
        _emit(state, config, max(SMALLEST, config.size // COARSER), -sharpen)
    return state


def _carry_rgb_down(state: dict[str, Tensor], config: NetworkConfig) -> None:
    """Every encoder level holds √2·(RGB + LIFT) of the face reduced to it, in its first three channels."""
    for number in range(len(config.resolutions)):
        layer = f"ecd{number}.0.{0 if number == 0 else 1}.weight"
        weight = state[layer]  # [OIkk]
        equalised = math.sqrt(weight[0].numel())
        middle = weight.shape[-1] // 2
        for channel in range(3):
            weight[channel, channel, middle, middle] = equalised / (1 if number == 0 else ACTIVATION_GAIN)
    state["ecd0.0.1.bias"][:3] = LIFT


def _emit(state: dict[str, Tensor], config: NetworkConfig, resolution: int, gain: float) -> None:
    """Adds `gain` · RGB of the encoder's `resolution` level to the image."""
    level = config.resolutions.index(resolution)
    conv, to_rgb = ("conv1", "to_rgb1") if level == 0 else (f"convs.{2 * level - 1}", f"to_rgbs.{level - 1}")
    state[f"generator.{conv}.noise.weight"].fill_(1 / ACTIVATION_GAIN)
    weight = state[f"generator.{to_rgb}.conv.weight"]  # [1OIkk]
    inputs = weight.shape[2]
    for channel in range(3):
        # The concatenated half holds √2·(RGB + LIFT); the convolution divides by √inputs.
        weight[0, channel, inputs // 2 + channel] = gain * math.sqrt(inputs) / ACTIVATION_GAIN
    state[f"generator.{to_rgb}.bias"].fill_(-gain * LIFT)
