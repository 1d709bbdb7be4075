"""Curves by which one thing gives way to another."""

from __future__ import annotations


def smoothstep(t: float) -> float:
    """From 0 to 1 as t does, level at both ends and beyond."""
    t = min(1.0, max(0.0, t))
    return t * t * (3 - 2 * t)
