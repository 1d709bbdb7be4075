"""Paths of a face whose truth is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from gpen2048.alignment import crop_transform
from gpen2048.geometry.transforms import invert
from gpen2048.tracking.smoothing import REACH, smooth
from numpy.typing import NDArray

Array = NDArray[np.float64]
LANDMARKS = np.array([[204.0, 113], [246, 111], [226, 141], [207, 157], [245, 156]])
SIZE = 100.0
FRAMES = 80


def _path(move: Callable[[float], tuple[float, float]]) -> Array:
    return np.array([LANDMARKS + move(float(t)) for t in range(FRAMES)])


def _shaken(truth: Array, noise: float = 1.5) -> Array:
    return truth + np.random.default_rng(1).normal(0, noise, truth.shape)


def _smoothed(seen: Array, missed: tuple[int, ...] = ()) -> Array:
    def at(t: int) -> Array:
        around = [n for n in range(len(seen)) if abs(n - t) <= REACH and n not in missed]
        return smooth([n - t for n in around], seen[around].reshape(len(around), -1), 10, SIZE).reshape(5, 2)

    return np.array([at(t) for t in range(len(seen))])


def _off(path: Array, truth: Array) -> Array:
    """How far the middle of the crop lies from where it should, in pixels, for every frame."""
    middle = [127.5, 127.5, 1]
    return np.array(
        [
            np.linalg.norm((invert(crop_transform(a, 256)) - invert(crop_transform(b, 256))) @ middle)
            for a, b in zip(path, truth)
        ]
    )


def _jitter(path: Array, truth: Array) -> float:
    return float(np.sqrt(np.square(np.diff((path - truth).mean(axis=1), axis=0)).mean()))


@pytest.mark.parametrize("speed", [0.0, 1.0, 8.0, 30.0])
def test_a_still_face_and_a_pan_lose_their_jitter_and_nothing_else(speed: float) -> None:
    truth = _path(lambda t: (speed * t, speed / 3 * t))
    seen = _shaken(truth)
    path = _smoothed(seen)
    assert _jitter(path, truth) < _jitter(seen, truth) / 15
    assert _off(path, truth).max() < 1.5  # the noise itself is 1.5 px in each coordinate
    assert np.abs(_smoothed(truth) - truth).max() < 1e-9


@pytest.mark.parametrize(
    "move",
    [
        lambda t: (8 * min(max(t - 30, 0), 20), 0),  # a pan that starts and stops at once
        lambda t: (0, 15 * np.sin(2 * np.pi * t / 25)),  # nodding
        lambda t: (6 * np.sin(2 * np.pi * t / 12), 0),  # shaking the head, at two turns in a second
        lambda t: (0.2 * (t - 40) ** 2, 0),  # speeding up
    ],
)
def test_no_lag_on_real_motion(move: Callable[[float], tuple[float, float]]) -> None:
    truth = _path(move)
    assert _off(_smoothed(truth), truth).max() < 1.5
    assert np.sqrt(np.square(_off(_smoothed(_shaken(truth, 0.5)), truth)).mean()) < 0.6


def test_a_wide_window_alone_would_lag() -> None:
    """The test above can fail: the mean over the widest window is far off where a pan starts."""
    truth = _path(lambda t: (8 * max(t - 30, 0), 0))
    mean = truth[30 - REACH : 31 + REACH].mean(axis=0)
    assert _off(mean[None], truth[30][None])[0] > 10


def test_turn_and_size_are_followed_too() -> None:
    def turned(t: float) -> Array:
        turn = (1 + 0.01 * t) * np.exp(1j * np.radians(t))
        z = (LANDMARKS - LANDMARKS.mean(axis=0)) @ [1, 1j] * turn
        return np.stack([z.real, z.imag], axis=1) + 300

    truth = np.array([turned(t) for t in range(FRAMES)])
    assert np.linalg.norm(_smoothed(truth) - truth, axis=2).max() < 1


@pytest.mark.parametrize("missed", [(40,), (39, 40, 41, 42), (20, 22, 24)])
def test_missed_frames_are_bridged_along_the_motion(missed: tuple[int, ...]) -> None:
    truth = _path(lambda t: (8 * t, 0))
    assert np.abs(_smoothed(truth, missed) - truth).max() < 1e-9
    assert _off(_smoothed(_shaken(truth), missed), truth).max() < 1.5


@pytest.mark.parametrize("by", [5.0, 12.0, 40.0])
def test_one_misplaced_frame_is_not_believed(by: float) -> None:
    truth = _path(lambda t: (2 * t, 0))
    seen = _shaken(truth, 0.3)
    seen[40] += by
    assert _off(_smoothed(seen), truth).max() < 0.5


@pytest.mark.parametrize("by", [15.0, 60.0])
def test_a_jump_is_not_smoothed_over(by: float) -> None:
    truth = _path(lambda t: (by * (t >= 40), 0))
    assert _off(_smoothed(_shaken(truth, 0.3)), truth).max() < 0.5


@pytest.mark.parametrize("held", [2, 3])
def test_pictures_shown_several_times_are_smoothed_as_others(held: int) -> None:
    """Each step is then many times the usual one, which is none, and no jump."""
    steps = np.arange(FRAMES) // held
    truth = np.array([LANDMARKS + [20.0 * step, 0] for step in steps])
    seen = truth + np.random.default_rng(1).normal(0, 1.5, truth.shape)[steps]
    path = _smoothed(seen)
    first = np.arange(0, FRAMES, held)[3:-3]
    assert _jitter(path[first], truth[first]) < _jitter(seen[first], truth[first]) / 5


def test_steps_of_a_detector_that_rounds_are_smoothed_out() -> None:
    """Most frames are told as the one before, which looks as if there were no noise at all."""
    truth = _path(lambda t: (0.05 * t, 0.02 * t))
    seen = np.round(truth * 4) / 4
    assert _jitter(_smoothed(seen), truth) < _jitter(seen, truth) / 4


def test_one_and_two_frames_are_returned_as_they_are() -> None:
    values = LANDMARKS.reshape(1, -1)
    assert np.allclose(smooth([0], values, 10, SIZE), values[0])
    assert np.allclose(smooth([0, 1], np.concatenate((values, values + 4)), 10, SIZE), values[0])


def test_a_missed_frame_a_jump_and_an_outlier_at_once() -> None:
    """All sure frames on one side and too few of them for a fit: the nearest stands for all."""
    seen = _path(lambda t: (45.0 * (t > 8), 0))[:20]
    for outlier in (3, 4, 5):
        with_outlier = seen.copy()
        with_outlier[outlier, 0, 0] += 6
        smoothed = _smoothed(with_outlier, missed=(8,))
        assert np.abs(smoothed - seen).max() < 45 + 1  # on either side of the jump, and nowhere else
