"""All compiled loops around the network. Imported on first use only: numba is."""

# pyright: basic
from __future__ import annotations

from .compositing_kernels import blend, box, lay, show
from .filter_kernels import GROUP, filter_groups
from .halving_kernels import detail, halve, halve_twice
from .spline_kernels import warp_tiles

__all__ = ["GROUP", "blend", "box", "detail", "filter_groups", "halve", "halve_twice", "lay", "show", "warp_tiles"]
