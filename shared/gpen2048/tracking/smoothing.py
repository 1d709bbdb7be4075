"""A face's path over frames without the detector's jitter, and without lag where the face really moves.

Each value is a local polynomial fit to the frames around it: as many of them as the motion allows. Starting from a
few frames, a wider fit is believed as long as it differs from the narrower ones by no more than noise explains
(Lepski's rule; Katkovnik, "A new method for varying adaptive bandwidth selection", IEEE Trans. Signal Processing
1999). Wide fits take the jitter out of a still face, narrow ones follow a turn of the head; and a straight motion is
reproduced exactly by all, since they look as far ahead as back.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..curves import smoothstep

Array = NDArray[np.float64]

LEVELS = ((2, 2), (4, 1), (7, 1), (12, 1))  # frames on either side, and the polynomial's degree
REACH = LEVELS[-1][0]  # frames on either side that a smoothed value depends on
BELIEVED, REFUSED = 2.0, 4.0  # a wider fit's difference in standard deviations: below all of it is taken, above none
LEAST_NOISE = 0.004  # of the face's size: what no detector falls below
OUTLIER = 6.0  # standard deviations by which one frame stands out against those around it
HELD = 0.05  # of the longest step: where pictures are shown several times, most are shorter …
FEWEST_MOVES = 4  # … and so many are not, else it is a face that jumps
JUMP, JUMP_RATIO = 0.12, 5.0  # of the face's size, and of the steps around: a cut within a scene


def smooth(frames: Sequence[int], values: Array, landmarks: int, size: float) -> Array:
    """`values` (N, C), seen in the increasing `frames` counted from the wanted one, as they truly are at frame 0: (C,).

    The first `landmarks` columns are x, y of landmarks in pixels, which tell noise from motion; `size` is the face's,
    in pixels. Frames farther than REACH from 0 must not be among them.
    """
    times = np.array(frames, np.float64)
    first, last = _without_jumps(times, values[:, :landmarks], size)
    times, values = times[first:last], values[first:last]
    points = values[:, :landmarks]
    noise = max(_noise(points), LEAST_NOISE * size)
    trusted = ~_outliers(times, points, noise)
    return _widest(times, values, trusted, landmarks, noise)


def _widest(times: Array, values: Array, trusted: NDArray[np.bool_], landmarks: int, noise: float) -> Array:
    """The narrowest fit, moved towards each wider one as far as all narrower ones agree with that."""
    kernels: list[Array] = []
    result, belief = np.zeros(values.shape[1]), 1.0
    for half, degree in LEVELS:
        kernel = _kernel(times, trusted, half, degree)
        if kernel is None:
            continue
        if not kernels:
            result = kernel @ values
        for narrower in kernels:
            step = kernel - narrower
            spread = noise * float(np.linalg.norm(step))
            moved = _motion((step @ values)[:landmarks], values[:, :landmarks].mean(axis=0))
            belief *= _agreement(moved / spread if spread > 0 else 0.0)
        if kernels:
            result = result + belief * ((kernel - kernels[-1]) @ values)
        kernels.append(kernel)
    return result if kernels else _nearest(times, values, trusted)


def _nearest(times: Array, values: Array, trusted: NDArray[np.bool_]) -> Array:
    """What was seen next to time 0: a jump may leave frames on one side only, and an outlier too few for a fit."""
    nearest = np.argsort(np.abs(times), kind="stable")
    return values[next((n for n in nearest if trusted[n]), nearest[0])]


def _agreement(deviations: float) -> float:
    """1 where noise explains a difference, 0 where it does not, smooth between."""
    return smoothstep((REFUSED - deviations) / (REFUSED - BELIEVED))


def _kernel(times: Array, trusted: NDArray[np.bool_], half: int, degree: int) -> Array | None:
    """Weights (N,) whose sum over values is their fit at time 0; None when too few frames lie within `half`.

    Least squares of a polynomial, frames weighted by (1 - (t / (half + 1))²)², which lets them fade in and out.
    """
    weights = np.clip(1 - (times / (half + 1)) ** 2, 0, None) ** 2 * trusted
    inside = times[weights > 0]
    if len(inside) == 0:
        return None
    sides = min((inside <= 0).sum(), (inside >= 0).sum())
    if len(inside) < len(times) and (len(inside) < 3 or sides == 0):
        return None
    degree = min(degree, len(inside) - 1, 1 if sides <= half else degree)
    powers = times[:, None] ** np.arange(degree + 1)
    moments = powers.T @ (weights[:, None] * powers)
    return np.linalg.solve(moments, powers.T * weights)[0]


def _motion(shift: Array, points: Array) -> float:
    """How far `shift` moves landmarks `points` (both flat x, y, …) as a whole, in units of one value's noise.

    Only what shift, turn and size have to say: four of the ten values, so that their mean square is compared.
    """
    z, w = points.reshape(-1, 2) @ [1, 1j], shift.reshape(-1, 2) @ [1, 1j]
    z = z - z.mean()
    turn = abs(np.sum(np.conj(z) * w)) ** 2 / max(float(np.sum(np.abs(z) ** 2)), 1e-12)
    return float(np.sqrt((len(w) * abs(w.mean()) ** 2 + turn) / 4))


def _noise(points: Array) -> float:
    """Standard deviation of one value's jitter: from third differences, which a smooth motion hardly has."""
    if len(points) < 5:
        return 0.0
    return float(np.median(np.abs(np.diff(points, 3, axis=0)))) / (0.6745 * np.sqrt(20))


def _outliers(times: Array, points: Array, noise: float) -> NDArray[np.bool_]:
    """Which frames lie far off the line through two on either side, while their neighbours' lines bend towards them.

    The neighbours of a sudden turn lie off on the same side as it does: that is motion.
    """
    off = np.zeros_like(points)
    for n in range(2, len(times) - 2):
        around = [n - 2, n - 1, n + 1, n + 2]
        off[n] = points[n] - np.polynomial.polynomial.polyfit(times[around] - times[n], points[around], 1)[0]
    beside = np.zeros_like(points)
    beside[1:-1] = off[:-2] + off[2:]
    far = np.array([_motion(shift, point) for shift, point in zip(off, points)]) > OUTLIER * noise
    return far & ((off * beside).sum(axis=1) < 0)


def _without_jumps(times: Array, points: Array, size: float) -> tuple[int, int]:
    """The stretch first:last of frames around time 0 in which the face nowhere jumps: there a cut was missed."""
    if len(times) < 4:
        return 0, len(times)
    middles = points.reshape(len(points), -1, 2).mean(axis=1)
    steps = np.diff(middles, axis=0) / np.diff(times)[:, None]
    lengths = np.linalg.norm(steps, axis=1)
    moved = lengths[lengths > HELD * lengths.max()]
    usual = float(np.median(moved if len(moved) >= FEWEST_MOVES else lengths))
    jumps = np.flatnonzero((lengths > JUMP * size) & (lengths > JUMP_RATIO * usual) & ~_comes_back(steps))
    first = max([int(n) + 1 for n in jumps if times[n + 1] <= 0], default=0)
    last = min([int(n) + 1 for n in jumps if times[n + 1] > 0], default=len(times))
    return first, last


def _comes_back(steps: Array) -> NDArray[np.bool_]:
    """Which steps are undone by the one before or after, as those to and from a misplaced face are."""
    undone = np.linalg.norm(steps[1:] + steps[:-1], axis=1) < 0.5 * np.linalg.norm(steps[1:], axis=1)
    return np.append(undone, False) | np.append(False, undone)
