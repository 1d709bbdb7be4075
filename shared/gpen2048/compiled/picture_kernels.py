"""All compiled loops around the network. Imported on first use only: numba is."""

# pyright: basic
from __future__ import annotations

from .compositing_kernels import blend, box, lay, show
from .halving_kernels import detail, halve, halve_twice
from .spline_kernels import read_rows, warp_tiles

__all__ = ["blend", "box", "detail", "halve", "halve_twice", "lay", "read_rows", "show", "warp_tiles"]
