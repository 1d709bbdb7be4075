"""Oklab, in which equal distances look equally different: lightness, and two axes of colour.

Björn Ottosson, "A perceptual color space for image processing", 2020 (bottosson.github.io/posts/oklab).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# IEC 61966-2-1 (sRGB): linear up to the knee, a power above
KNEE, SLOPE, OFFSET, EXPONENT = 0.04045, 12.92, 0.055, 2.4
LINEAR_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
CONES_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
CONES_TO_LINEAR = np.linalg.inv(LINEAR_TO_CONES)
LAB_TO_CONES = np.linalg.inv(CONES_TO_LAB)


def to_oklab(rgb: Tensor) -> Tensor:
    """Oklab (N, 3, …) of sRGB (N, 3, …) in [0, 1]: L in [0, 1], a and b about -0.4 to 0.4."""
    linear = torch.where(rgb <= KNEE, rgb / SLOPE, ((rgb + OFFSET) / (1 + OFFSET)) ** EXPONENT)
    return _mix(CONES_TO_LAB, _mix(LINEAR_TO_CONES, linear).clamp_(min=0) ** (1 / 3))


def from_oklab(lab: Tensor) -> Tensor:
    """sRGB (N, 3, …) in [0, 1] of Oklab (N, 3, …); colours that sRGB lacks are clipped."""
    linear = _mix(CONES_TO_LINEAR, _mix(LAB_TO_CONES, lab) ** 3).clamp_(0, 1)
    curved = (1 + OFFSET) * linear ** (1 / EXPONENT) - OFFSET
    return torch.where(linear <= KNEE / SLOPE, linear * SLOPE, curved)


def _mix(matrix: NDArray[Any], colours: Tensor) -> Tensor:
    return torch.einsum("ij,nj...->ni...", colours.new_tensor(matrix), colours)
