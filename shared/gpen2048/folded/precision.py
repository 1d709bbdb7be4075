"""Half precision that cannot blow up: scales of the stored activations, and the check of what came out.

The scales are chosen once, when the weights are folded, from the largest values that a float32 pass on a test image
meets. They leave a factor of 128 to float16's largest number. Should that not do, the result is not finite or is flat,
which is seen on the device, and `fallbacks` says in which precision to try again.
"""

from __future__ import annotations

import math
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..devices import has_bfloat16
from ..errors import UnsoundResultError
from ..network import NetworkConfig
from .folding import Scales
from .passes import Passes

TARGET = 2.0**9  # to which the largest stored value is brought; float16 ends at 65504
Key = TypeVar("Key")
LIMIT = 2.0**60  # of a scale or its inverse: keeps folded weights finite in float32


class ObservedPasses:
    """Passes that remember the largest magnitudes of what is stored around them, by resolution."""

    def __init__(self, passes: Passes):
        self._passes = passes
        self.features: dict[int, float] = {}
        self.inputs: dict[tuple[int, bool], float] = {}  # of the convolution at a resolution that doubles it or not

    @property
    def is_plain(self) -> bool:
        return self._passes.is_plain

    def colour(self, image: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> None:
        self._passes.colour(image, weight, bias, out)

    def blur(self, x: Tensor, top: int, out: Tensor) -> None:
        self._passes.blur(x, top, out)

    def activate(self, x: Tensor, bias: Tensor, out: Tensor) -> None:
        self._passes.activate(x, bias, out)

    def join(self, x: Tensor, top: int, feature: Tensor, constants: Tensor, out: Tensor) -> None:
        resolution = out.shape[3]
        _raise(self.inputs, (resolution, True), x)
        _raise(self.features, resolution, feature)
        self._passes.join(x, top, feature, constants, out)
        _raise(self.inputs, (resolution, False), out)

    def paint(
        self,
        x: Tensor,
        feature: Tensor,
        constants: Tensor,
        rgb: tuple[Tensor, Tensor],
        below: Tensor | None,
        row: int,
        image: Tensor,
        out: Tensor | None,
    ) -> None:
        resolution = image.shape[3]
        _raise(self.inputs, (resolution, False), x)
        _raise(self.features, resolution, feature)
        self._passes.paint(x, feature, constants, rgb, below, row, image, out)
        if out is not None:
            _raise(self.inputs, (2 * resolution, True), out)

    def scales(self, config: NetworkConfig) -> Scales:
        """Powers of two that bring every observed largest value next to `TARGET`."""
        resolutions = config.resolutions
        inputs = [_scale(self.inputs[resolutions[0], False])]
        for resolution in resolutions[1:]:
            inputs += [_scale(self.inputs[resolution, up]) for up in (True, False)]
        return Scales(tuple(_scale(self.features[r]) for r in reversed(resolutions)), tuple(inputs))


def sample_image(size: int, device: torch.device) -> Tensor:
    """(1, 3, size, size) in [-1, 1]: detail at every scale, as photographs have it."""
    generator = torch.Generator().manual_seed(0)
    image = torch.zeros(1, 3, size, size, dtype=torch.float32, device="cpu")
    for exponent in range(size.bit_length()):
        coarse = torch.rand(1, 3, 2**exponent, 2**exponent, generator=generator, dtype=image.dtype, device="cpu") - 0.5
        image += F.interpolate(coarse, size=(size, size), mode="nearest")
    return (image / image.abs().amax()).to(device)


def fallbacks(dtype: torch.dtype, device: torch.device) -> tuple[torch.dtype, ...]:
    """The precision asked for, then those with more range that `device` is made for."""
    chain = [torch.float16, torch.bfloat16, torch.float32]
    after = chain[chain.index(dtype) + 1 :] if dtype in chain else []
    if not has_bfloat16(device):  # its convolutions would be slower than float32's, and take more memory
        after = [other for other in after if other != torch.bfloat16]
    return (dtype if dtype in chain else torch.float32, *after)


def is_sound(image: Tensor) -> bool:
    """Whether every image (N, 3, H, W) is finite and not one flat colour."""
    least, most = torch.aminmax(image.permute(0, 2, 3, 1).flatten(1), dim=1)  # one reading of its memory
    return all(0 < float(spread) < math.inf for spread in (most - least).cpu())


def refuse_unsound(image: Tensor, x: Tensor) -> None:
    """Raises UnsoundResultError where no numbers came out as `image` although some went in as `x`."""
    if not bool(image.sum().isfinite()) and bool(torch.isfinite(x).all()):
        raise UnsoundResultError(
            f"the network gave values that are no numbers on {image.device}: its weights are damaged, or the device "
            "computes wrongly; compare the file with its SHA-256, or take another device"
        )


def _raise(largest: dict[Key, float], key: Key, x: Tensor) -> None:
    value = max(abs(float(edge)) for edge in torch.aminmax(x.float()))
    largest[key] = max(largest.get(key, 0.0), value)


def _scale(largest: float) -> float:
    if not math.isfinite(largest) or largest == 0:
        return 1.0
    return min(max(2.0 ** math.floor(math.log2(TARGET / largest)), 1 / LIMIT), LIMIT)
