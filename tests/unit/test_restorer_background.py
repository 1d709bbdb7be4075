"""The enlarged picture behind the faces: whose it is, and how large."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from gpen2048 import FaceRestorer, RestoreOptions, UnsoundResultError
from gpen2048.faces import Face
from gpen2048.inference import Network
from torch import Tensor


@pytest.fixture
def photo() -> Tensor:
    return torch.rand(3, 120, 100, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def face() -> Face:
    return Face([30, 30, 70, 80], [[42, 50], [58, 50], [50, 60], [44, 68], [56, 68]])


def test_outside_the_mask_the_background_given_is_kept(tiny_passthrough: Network, photo: Tensor, face: Face) -> None:
    asked: list[tuple[int, int]] = []

    def paint(image: Tensor, size: tuple[int, int]) -> Tensor:
        asked.append(size)
        return torch.full((3, *size), 0.25)

    for background in (paint, torch.full((3, 240, 200), 0.25)):
        result = FaceRestorer(tiny_passthrough)(
            photo, RestoreOptions(scale=2, strength=1), faces=[face], background=background
        )
        assert result.image.shape == (3, 240, 200)
        assert (result.image[:, result.mask == 0] == 0.25).all() and (result.mask == 0).any()
        assert not torch.allclose(result.image[:, result.mask == 1], torch.tensor(0.25))
    assert asked == [(240, 200)]


def test_at_scale_one_nothing_is_enlarged(tiny_passthrough: Network, photo: Tensor, face: Face) -> None:
    def refuse(image: Tensor, size: tuple[int, int]) -> Tensor:
        raise AssertionError("asked for a background at scale 1")

    result = FaceRestorer(tiny_passthrough)(photo, faces=[face], background=refuse)
    assert torch.equal(result.image[:, result.mask == 0], photo[:, result.mask == 0])


def test_a_background_of_another_size_is_named(tiny_passthrough: Network, photo: Tensor, face: Face) -> None:
    with pytest.raises(ValueError, match=r"\(3, 120, 100\); wanted torch.float32 \(3, 240, 200\)"):
        FaceRestorer(tiny_passthrough)(photo, RestoreOptions(scale=2), faces=[face], background=photo)


def test_an_upscale_model_that_gives_no_numbers_is_named(tiny_passthrough: Network, photo: Tensor, face: Face) -> None:
    def broken(image: Tensor, size: tuple[int, int]) -> Tensor:
        return torch.full((3, *size), math.nan)

    restorer, options = FaceRestorer(tiny_passthrough), RestoreOptions(scale=2)
    with pytest.raises(UnsoundResultError, match="the upscale model gave values that are no numbers"):
        restorer(photo, options, faces=[face], background=broken)
    photo[0, 0, 0] = math.nan  # whose fault it then is
    assert restorer(photo, options, faces=[face], background=broken).image.isnan().any()


def test_a_scale_given_replaces_the_options(tiny_passthrough: Network, photo: Tensor, face: Face) -> None:
    restorer = FaceRestorer(tiny_passthrough)
    options = RestoreOptions(scale="auto")
    small = Face(face.box, face.landmarks / 4)
    scale = restorer.output_scale(photo, [small], options)
    assert scale == restorer(photo, options, faces=[small]).scale > 1
    assert restorer.output_scale(photo, [], options) == 1
    assert restorer(photo, options, faces=[], scale=scale).image.shape[1:] == (round(120 * scale), round(100 * scale))


def test_a_picture_given_away_becomes_the_result(
    network_that: Any, group_photo: Tensor, group_faces: list[Face]
) -> None:
    """And has the very pixels that it would have had beside the picture."""
    restorer = FaceRestorer(network_that(torch.sqrt))
    wanted = restorer(group_photo, faces=group_faces)
    assert wanted.image.data_ptr() != group_photo.data_ptr()
    given = group_photo.clone()
    result = restorer(given, faces=group_faces, in_place=True)
    assert result.image.data_ptr() == given.data_ptr()
    assert torch.equal(result.image, wanted.image)


def test_a_picture_of_inference_mode_is_given_away_in_it_alone(network_that: Any, group_faces: list[Face]) -> None:
    """Outside nobody may write to it."""
    restorer = FaceRestorer(network_that(torch.sqrt))
    with torch.inference_mode():
        photos = [torch.full((3, 568, 1328), 0.25) for _ in range(2)]
        assert restorer(photos[0], faces=group_faces[:1], in_place=True).image.data_ptr() == photos[0].data_ptr()
    result = restorer(photos[1], faces=group_faces[:1], in_place=True).image
    assert torch.equal(result, photos[0]) and bool((photos[1] == 0.25).all())


@pytest.mark.parametrize("scale", [0.0, 1e-4, float("nan")])
def test_a_scale_that_leaves_nothing_is_refused(scale: float, network_that: Any, group_photo: Tensor) -> None:
    with pytest.raises(ValueError, match="scale"):
        FaceRestorer(network_that(torch.sqrt))(group_photo, faces=[], scale=scale)


@pytest.mark.parametrize("background", ["picture", "callable"])
def test_what_belongs_to_others_is_not_given_away(
    background: str, network_that: Any, group_photo: Tensor, group_faces: list[Face]
) -> None:
    enlarged = torch.full((3, 2 * 568, 2 * 1328), 0.5)
    restorer = FaceRestorer(network_that(torch.sqrt))
    given = enlarged if background == "picture" else lambda image, size: enlarged
    restorer(group_photo.clone(), RestoreOptions(scale=2), faces=group_faces[:2], background=given, in_place=True)
    assert bool((enlarged == 0.5).all())


def test_automatic_scale_is_that_of_the_face_that_needs_most(tiny_passthrough: Network, portrait_face: Face) -> None:
    """Whatever its number."""
    restorer, photo, options = FaceRestorer(tiny_passthrough), torch.zeros(3, 300, 400), RestoreOptions(scale="auto")
    large = Face(portrait_face.box / 2, portrait_face.landmarks / 2)
    small = Face(portrait_face.box / 4, portrait_face.landmarks / 4)
    alone = restorer.output_scale(photo, [small], options)
    assert 1 <= restorer.output_scale(photo, [large], options) < alone < options.max_scale
    assert restorer.output_scale(photo, [large, small], options) == alone
    assert restorer.output_scale(photo, [small, large], options) == alone


@pytest.mark.parametrize("scale", [1, 2])
def test_black_and_white_stays_so(network_that: Any, photo: Tensor, face: Face, scale: int) -> None:
    """Whatever colours the network and an upscaler add; beside the faces nothing changes, noise included."""
    tint = torch.tensor([0.1, 0, -0.1])[:, None, None]
    noise = torch.tensor([0, 1, -1])[:, None, None] / 255
    grey = (photo[1:2] * 0.6 + 0.2).expand(3, -1, -1) + noise
    network = network_that(lambda crops: crops + tint)

    def paint(image: Tensor, size: tuple[int, int]) -> Tensor:
        return torch.nn.functional.interpolate(image[None], size)[0] + tint

    restorer, options = FaceRestorer(network), RestoreOptions(scale=scale, strength=1)
    result = restorer(grey, options, faces=[face], background=paint)
    shown = result.image[:, result.mask == 1]
    assert (shown - shown[:1]).abs().max() < 1e-6 and shown.std() > 0.01
    assert torch.equal(result.crops[0][1][0], result.crops[0][1][2])
    outside = result.image[:, result.mask == 0]
    if scale == 1:
        assert torch.equal(outside, grey[:, result.mask == 0])
    else:
        assert (outside - outside[:1]).abs().max() < 1e-6
    coloured = grey.clone()
    coloured[0, 5, 7] += 4 / 255
    shown = restorer(coloured, options, faces=[face]).image[:, result.mask > 0.999]
    assert (shown[0] - shown[2]).mean() > 0.15
    gaudy = restorer(grey, replace(options, colour="coloured"), faces=[face], background=paint)
    shown = gaudy.image[:, gaudy.mask > 0.999]
    assert (shown[0] - shown[2]).mean() > 0.15 and (gaudy.crops[0][1][0] - gaudy.crops[0][1][2]).mean() > 0.15
    assert scale == 1 or (gaudy.image - gaudy.image[:1])[2, gaudy.mask == 0].mean() < -0.15
