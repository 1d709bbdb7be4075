"""How much memory a restoration takes, for hosts that make room before it begins."""

from __future__ import annotations

from typing import Protocol

import torch

from .detection import FaceDetector
from .network import NetworkConfig
from .options import RestoreOptions
from .parsing import FaceParser

FLOATS = 3 * 4  # bytes of a pixel, RGB in float32
CROPS_AT_ONCE = 3  # of a face while the network runs: cut out, among those of its batch, in the network's range
CROPS_KEPT = 2  # before and after
CROPS_BETWEEN = 6  # of one face at a time, while colours and grain are put right
# Per output pixel in float32: picture, background, change, result and masks, with the temporaries of their blending.
CANVAS = 24 * 4


class RunningNetwork(Protocol):
    """An `inference.Network`, or what stands in for one."""

    config: NetworkConfig

    def memory_required(self, batch: int = 1, device: torch.device | None = None) -> int: ...


def network_bytes(network: RunningNetwork, faces: int, device: torch.device) -> int:
    """Bytes of activations and crops on `device` while `faces` go through the network at once."""
    crop = FLOATS * network.config.size**2
    needed = network.memory_required(faces, device)
    after = CROPS_KEPT * faces + CROPS_BETWEEN
    return max(needed + CROPS_AT_ONCE * faces * crop, _left(needed, device) + after * crop)


def step_bytes(
    options: RestoreOptions,
    size: tuple[int, int],
    network: RunningNetwork,
    detector: FaceDetector | None,
    parser: FaceParser | None,
    *,
    faces: int = 1,
    device: torch.device,
) -> int:
    """Bytes on `device` of the most demanding step on a picture of `size` (height, width), without the picture's own.

    Weights are not counted. `detector` and `parser` are those that will be used.
    """
    steps = [network_bytes(network, faces, device)]
    if detector is not None:
        steps.append(detector.memory_required(*size, max_tilt=options.max_tilt))
    if parser is not None:
        crops = CROPS_KEPT * faces * FLOATS * network.config.size**2
        steps.append(_left(network.memory_required(faces, device), device) + crops + parser.memory_required())
    return max(steps)


def canvas_bytes(size: tuple[int, int], scale: float) -> int:
    """Bytes of a picture of `size` (height, width) enlarged by `scale`, and of what it is made of."""
    return round(CANVAS * size[0] * size[1] * scale**2)


def _left(needed: int, device: torch.device) -> int:
    """What of the network's memory is still taken when it has run: on the CPU it is kept for the next face."""
    return needed if device.type == "cpu" else 0
