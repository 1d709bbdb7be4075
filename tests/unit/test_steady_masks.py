"""Parsed masks along a film, by a stand-in parser that changes its mind."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from gpen2048 import FaceRestorer, RestoreOptions
from gpen2048.faces import Face
from gpen2048.parsing import Parsed
from gpen2048.sequence import restore_sequence
from gpen2048.tracking.steady_masks import FRAMES, LEAD, SteadyMasks
from torch import Tensor

SIDE = 128  # px of the stand-in's classes
OPTIONS = RestoreOptions(strength=1, mask="parse")


class Fickle:
    """A parser that calls the upper part of each crop skin, down to a fraction that it asks for anew each time."""

    def __init__(self, fraction: Callable[[], float]):
        self._fraction = fraction

    def classes(self, crops: Sequence[Tensor]) -> Tensor:
        classes = torch.zeros(len(crops), SIDE, SIDE, dtype=torch.long)
        classes[:, : round(SIDE * self._fraction())] = 1
        return classes


@pytest.fixture
def restorer(network_that: Any) -> Callable[[Sequence[float]], FaceRestorer]:
    """A restorer whose parser goes through the fractions given."""

    def make(fractions: Sequence[float]) -> FaceRestorer:
        parser: Any = Fickle(iter(fractions).__next__)
        return FaceRestorer(network_that(lambda crops: crops * 0.7), parser=parser)

    return make


def _change(masks: Sequence[Tensor]) -> float:
    return float(torch.stack([(a - b).abs().mean() for a, b in pairwise(masks)]).mean())


@pytest.mark.parametrize("kind", ["random", "alternating"])
def test_a_flickering_mask_becomes_steady(restorer: Any, portrait: Tensor, portrait_face: Face, kind: str) -> None:
    count = 30
    random = np.random.default_rng(1).uniform(0.4, 0.8, count).tolist()
    fractions = random if kind == "random" else [0.45 + 0.3 * (n % 2) for n in range(count)]
    film = restore_sequence([portrait] * count, restorer(fractions), OPTIONS, faces=[[portrait_face]] * count)
    together = [result.mask for result in film][LEAD:]
    one_by_one = restorer(fractions)
    alone = [one_by_one(portrait, OPTIONS, faces=[portrait_face]).mask for _ in range(count)][LEAD:]
    assert _change(alone) > 0.005  # of the whole picture
    assert _change(together) < _change(alone) / 4


def test_a_real_change_is_followed_after_its_lag(restorer: Any, portrait: Tensor, portrait_face: Face) -> None:
    fractions = [0.8] * 10 + [0.4] * 14
    film = restore_sequence([portrait] * 24, restorer(fractions), OPTIONS, faces=[[portrait_face]] * 24)
    masks = [result.mask for result in film]
    before, after = masks[9], masks[-1]
    assert (before - after).abs().max() > 0.9
    assert torch.equal(masks[10 + LEAD], after) and not torch.allclose(masks[10 + LEAD - 1], after, atol=0.05)
    halfway = masks[10 + FRAMES // 2 - 1]  # the third of six frames
    assert torch.allclose(halfway, (before + after) / 2, atol=0.01)


def test_a_cut_forgets(restorer: Any, portrait: Tensor, group_photo: Tensor, portrait_face: Face) -> None:
    other = group_photo[:, :512, :512].contiguous()
    fractions = [0.8] * 9 + [0.4] * 9
    film = restore_sequence([portrait] * 9 + [other] * 9, restorer(fractions), OPTIONS, faces=[[portrait_face]] * 18)
    masks = [result.mask for result in film]
    assert torch.equal(masks[9], masks[17]) and (masks[8] - masks[9]).abs().max() > 0.9


def test_faces_do_not_mix(restorer: Any, portrait: Tensor, portrait_face: Face) -> None:
    second = Face(portrait_face.box + [200, 200, 200, 200], portrait_face.landmarks + 200, 1.0)
    fractions = [0.8, 0.4] * 8
    film = restore_sequence([portrait] * 8, restorer(fractions), OPTIONS, faces=[[second, portrait_face]] * 8)
    masks = [result.mask for result in film]
    assert all(torch.equal(mask, masks[0]) for mask in masks)
    single = restorer([0.8, 0.4])(portrait, OPTIONS, faces=[portrait_face, second]).mask
    assert torch.allclose(masks[-1], single, atol=0.005)


def test_faces_out_of_sight_are_forgotten() -> None:
    class Track:
        pass

    masks, tracks = SteadyMasks(), weakref.WeakSet[Track]()
    for frame in range(40):
        track = Track()
        tracks.add(track)
        masks.steadied(frame, track, Parsed(torch.rand(4, 4), torch.rand(4, 4)))
        del track
        gc.collect()
        assert len(tracks) <= FRAMES


def test_one_frame_is_as_it_was() -> None:
    parsed = Parsed(torch.rand(9, 9), torch.rand(9, 9))
    steady = SteadyMasks().steadied(0, "a face", parsed)
    assert (steady.mask - parsed.mask).abs().max() <= 0.5 / 255 + 1e-6
    assert (steady.skin - parsed.skin).abs().max() <= 0.5 / 255 + 1e-6
