"""Winograd's polynomials, sixteen channels at a time: samples to values at points, and back to outputs."""

# pyright: basic, reportCallIssue=false
# (what numba compiles is typed when it is called, and gives an intrinsic one argument more)
from __future__ import annotations

import numpy as np

from ..compiled.compiling import compiled
from ..compiled.numba_lanes import add, multiply, splat, subtract
from .winograd import FAR, HIGH, LOW, NEAR

A, A2, A3 = (np.float32(NEAR**n) for n in (1, 2, 3))
B, B2, B3 = (np.float32(FAR**n) for n in (1, 2, 3))
SUM = np.float32(NEAR**2 + FAR**2)  # their product is 1
C, C2, C3 = (np.float32(LOW**n) for n in (1, 2, 3))
D, D2, D3 = (np.float32(HIGH**n) for n in (1, 2, 3))
CD, C2_D2 = np.float32((LOW * HIGH) ** 2), np.float32(LOW**2 + HIGH**2)


@compiled
def scaled(value, factor):
    return multiply(splat(factor), value)


@compiled
def at_six(d0, d1, d2, d3, d4, d5):
    """Six samples, a polynomial's coefficients, to its values at 0, ±NEAR, ±FAR and infinity."""
    near, odd_near = add(d4, scaled(d2, -B2)), scaled(add(d3, scaled(d1, -B2)), A)
    far, odd_far = add(d4, scaled(d2, -A2)), scaled(add(d3, scaled(d1, -A2)), B)
    zero, infinity = add(add(d0, d4), scaled(d2, -SUM)), add(add(d1, d5), scaled(d3, -SUM))
    return zero, add(near, odd_near), subtract(near, odd_near), add(far, odd_far), subtract(far, odd_far), infinity


@compiled
def from_six(m0, m1, m2, m3, m4, m5):
    """Values at six points to four outputs."""
    near, far, odd_near, odd_far = add(m1, m2), add(m3, m4), subtract(m1, m2), subtract(m3, m4)
    last = add(scaled(odd_near, A3), add(scaled(odd_far, B3), m5))
    first, second = add(m0, add(near, far)), add(scaled(odd_near, A), scaled(odd_far, B))
    return first, second, add(scaled(near, A2), scaled(far, B2)), last


@compiled
def at_five(d0, d1, d2, d3, d4):
    """Five samples to the values at ±LOW, ±HIGH and infinity."""
    low, odd_low = add(d3, scaled(d1, -D2)), scaled(add(d2, scaled(d0, -D2)), C)
    high, odd_high = add(d3, scaled(d1, -C2)), scaled(add(d2, scaled(d0, -C2)), D)
    infinity = add(d4, add(scaled(d2, -C2_D2), scaled(d0, CD)))
    return add(low, odd_low), subtract(low, odd_low), add(high, odd_high), subtract(high, odd_high), infinity


@compiled
def from_five(m0, m1, m2, m3, m4):
    """Values at five points to four outputs."""
    low, high, odd_low, odd_high = add(m0, m1), add(m2, m3), subtract(m0, m1), subtract(m2, m3)
    last = add(scaled(odd_low, C3), add(scaled(odd_high, D3), m4))
    second, third = add(scaled(odd_low, C), scaled(odd_high, D)), add(scaled(low, C2), scaled(high, D2))
    return add(low, high), second, third, last
