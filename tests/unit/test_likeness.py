"""Colour and grain of the photo where parsed masks say so, and whatever the output's scale."""

from __future__ import annotations

from typing import Any

import torch
from gpen2048 import FaceRestorer, RestoreOptions
from gpen2048.appearance.likeness import likeness
from gpen2048.faces import Face
from gpen2048.parsing import Parsed
from torch import Tensor

SIZE = 128
LEFT = torch.zeros(SIZE, SIZE)
LEFT[:, : SIZE // 2] = 1


def _noise(seed: int) -> Tensor:
    return torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed)) * 0.2 + 0.4


def test_colours_are_matched_where_the_parsed_mask_shows_the_face() -> None:
    """What a network does beside it changes nothing."""
    before, options = _noise(1), RestoreOptions(colour="match")
    after = before + 0.3 * (1 - LEFT)
    shown = slice(SIZE // 4, 3 * SIZE // 4), slice(SIZE // 4, SIZE // 2 - 8)
    for parsed, least, most in ((Parsed(LEFT, LEFT), 0.0, 0.005), (None, 0.01, 0.3)):
        rest = (likeness(before, after, 1.0, parsed, options) - before)[(slice(None), *shown)].mean().abs()
        assert least <= rest < most


def test_a_black_and_white_face_gets_the_photos_lightness_and_stays_so() -> None:
    before = _noise(1).mean(dim=0).expand(3, -1, -1).contiguous()
    after = before * 0.6 + torch.tensor([0.05, 0, 0])[:, None, None]  # darker, and with a tint
    shown = slice(None), slice(SIZE // 4, -SIZE // 4), slice(SIZE // 4, -SIZE // 4)
    for colour, least, most in (("match", 0.0, 0.005), ("restored", 0.15, 0.25)):
        found = likeness(before, after.clone(), 1.0, None, RestoreOptions(colour=colour), grey=True)
        assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])
        assert least <= (found - before)[shown].mean().abs() < most


def test_grain_comes_back_where_the_parser_sees_skin() -> None:
    before, after = _noise(1), torch.full((3, SIZE, SIZE), 0.5)
    found = likeness(before, after, 1.0, Parsed(torch.ones(SIZE, SIZE), LEFT), RestoreOptions(texture=1.0))
    assert torch.equal(found[:, :, SIZE // 2 + 1 :], after[:, :, SIZE // 2 + 1 :])
    assert found[:, :, : SIZE // 2].std() > 0.03


def test_the_photos_grain_is_the_same_at_every_scale(network_that: Any, portrait: Tensor, portrait_face: Face) -> None:
    """How large a pixel of the photo is in the crop does not depend on how large the result is."""
    restorer = FaceRestorer(network_that(lambda crops: torch.nn.functional.avg_pool2d(crops, 5, 1, 2)))
    crops = [
        restorer(portrait, RestoreOptions(texture=1.0, scale=scale), faces=[portrait_face]).crops[0] for scale in (1, 2)
    ]
    assert torch.equal(crops[0][1], crops[1][1])
