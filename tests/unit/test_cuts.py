"""Cuts between real photos, and what only looks like one."""

from __future__ import annotations

import pytest
import torch
from gpen2048.tracking.cuts import difference, is_cut, thumbnail
from torch import Tensor


def _pan(photo: Tensor, speed: int, frames: int) -> list[Tensor]:
    """Thumbnails of a 400 px window that moves over `photo` by `speed` px per frame."""
    return [thumbnail(photo[:, 80:480, speed * n : speed * n + 400]) for n in range(frames)]


def _cuts(thumbnails: list[Tensor]) -> list[int]:
    return [n for n in range(len(thumbnails)) if is_cut(thumbnails, n)]


def test_a_cut_is_found_where_it_is(group_photo: Tensor, portrait: Tensor) -> None:
    other = [thumbnail(portrait)] * 6
    assert _cuts([*_pan(group_photo, 8, 9), *other, *_pan(group_photo, 8, 5)]) == [9, 15]


def test_a_cut_between_two_places_of_one_photo_is_found(group_photo: Tensor) -> None:
    far = [thumbnail(group_photo[:, 80:480, 900:1300])] * 5
    assert _cuts([*_pan(group_photo, 8, 7), *far]) == [7]


@pytest.mark.parametrize("speed", [0, 8, 40, 100])
def test_a_pan_is_no_cut(group_photo: Tensor, speed: int) -> None:
    assert _cuts(_pan(group_photo, speed, 9)) == []


@pytest.mark.parametrize("held", [2, 3, 5, 6])
@pytest.mark.parametrize("speed", [40, 100])
def test_pictures_that_are_shown_several_times_are_no_cuts(group_photo: Tensor, held: int, speed: int) -> None:
    """As in drawn films, of 8 pictures a second, and where a film's rate is not its file's."""
    noise = torch.Generator().manual_seed(0)
    pictures = _pan(group_photo, speed, 9)
    assert difference(pictures[3], pictures[4]) > (0.5 if speed == 100 else 0.2)
    assert _cuts([p + torch.randn(p.shape, generator=noise) * 0.001 for p in pictures for _ in range(held)]) == []


@pytest.mark.parametrize("held", [2, 3])
def test_a_cut_between_such_pictures_is_found(group_photo: Tensor, portrait: Tensor, held: int) -> None:
    shown = [p for p in [*_pan(group_photo, 16, 6), *[thumbnail(portrait)] * 4] for _ in range(held)]
    assert _cuts(shown) == [6 * held]


@pytest.mark.parametrize("length", [3, 4, 6])
def test_a_montage_of_stills_has_its_cuts(group_photo: Tensor, portrait: Tensor, length: int) -> None:
    faces = [thumbnail(p) for p in (portrait, group_photo[:, 80:480, 900:1300])]
    assert _cuts([faces[n % 2] for n in range(7) for _ in range(length)]) == [length * n for n in range(1, 7)]


def test_a_short_scene_between_stills_is_one(group_photo: Tensor, portrait: Tensor) -> None:
    still = [thumbnail(group_photo[:, 80:480, :400])] * 8
    assert _cuts([*still, *[thumbnail(portrait)] * 5, *still]) == [8, 13]


def test_a_flash_a_fade_and_noise_are_no_cuts(group_photo: Tensor) -> None:
    still = group_photo[:, :400, :600]
    flash = [
        thumbnail((still * gain + light).clamp(0, 1)) for gain, light in [(1, 0)] * 5 + [(0.3, 0.7)] + [(1, 0)] * 5
    ]
    assert difference(flash[4], flash[5]) > 0.5  # it would be a cut if it lasted
    assert _cuts(flash) == []
    assert _cuts([thumbnail(still * (1 - n / 12)) for n in range(13)]) == []
    noise = torch.Generator().manual_seed(0)
    assert _cuts([thumbnail(torch.rand((3, 60, 80), generator=noise) * 0.05) for _ in range(9)]) == []


def test_the_far_future_and_past_are_of_no_account(group_photo: Tensor, portrait: Tensor) -> None:
    frames = [*_pan(group_photo, 8, 6), *[thumbnail(portrait)] * 6]
    assert [n + 3 for n in range(len(frames[3:9])) if is_cut(frames[3:9], n)] == [6]


def test_frames_smaller_than_a_thumbnail() -> None:
    tiny = [thumbnail(torch.full((3, 5, 7), 0.2))] * 3 + [thumbnail(torch.full((3, 5, 7), 0.9))] * 3
    assert _cuts(tiny) == [3]
