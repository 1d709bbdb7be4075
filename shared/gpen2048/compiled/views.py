"""What compiled loops read of a tensor: its memory, as flat as it lies."""

from __future__ import annotations

from torch import Tensor


def as_it_lies(x: Tensor) -> Tensor:
    """The memory of `x`, of at least one element and any strides, from its first element to its last; no copy.

    Without `x`'s gradients.
    """
    length = 1 + sum((count - 1) * step for count, step in zip(x.shape, x.stride()))
    return x.detach().as_strided((length,), (1,))
