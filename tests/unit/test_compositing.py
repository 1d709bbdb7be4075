"""Masks and overlaps, by numbers one can read."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from gpen2048 import compositing
from gpen2048.alignment import crop_transform, face_template
from gpen2048.compositing import INSET, Canvas, box_mask, parsed_mask
from gpen2048.geometry import splines
from gpen2048.geometry.regions import Region, crop_region, union
from torch import Tensor

CPU = torch.device("cpu")
AS_IT_IS = np.array([[1.0, 0, 0], [0, 1, 0]])  # a crop that is the image's upper left corner, pixel for pixel
WHOLE = Region(0, 0, 200, 100)


def test_the_box_is_soft_and_whole() -> None:
    mask = box_mask(AS_IT_IS, 100, Region(0, 0, 100, 100), 0.1, CPU)
    row = mask[50]
    assert row[0] == 0 and row[1] == 0  # the inset of 2 %
    assert (row[12:88] == 1).all()
    assert (row[2:12].diff() > 0).all()
    assert torch.allclose(mask, mask.flip(0), atol=1e-6) and torch.allclose(mask, mask.T)
    assert INSET == 0.02


def test_outside_the_crop_the_mask_is_zero() -> None:
    mask = box_mask(AS_IT_IS, 50, Region(0, 0, 80, 60), 0.1, CPU)
    assert (mask[:, 50:] == 0).all() and (mask[50:] == 0).all()


def test_regions() -> None:
    assert crop_region(AS_IT_IS, 50, (200, 100)) == Region(0, 0, 51, 51)
    beyond = np.array([[1.0, 0, 500], [0, 1, 0]])  # the crop lies left of the image
    assert crop_region(beyond, 50, (200, 100)) == Region(0, 0, 0, 51)
    assert union([Region(3, 4, 5, 6), Region(1, 5, 4, 9)]) == Region(1, 4, 5, 9)
    assert union([Region(3, 4, 5, 6), Region(0, 0, 0, 9)]) == Region(3, 4, 5, 6)
    assert union([]).size == (0, 0)


def _lay(canvas: Canvas, value: float, left: int, strength: float = 1.0) -> None:
    to_crop = np.array([[1.0, 0, -left], [0, 1, -10]])
    region = crop_region(to_crop, 64, (100, 200))
    mask = box_mask(to_crop, 64, region, 0.1, CPU)
    canvas.lay(torch.full((3, 64, 64), value), to_crop, lambda part: part.within(region).of(mask), region, strength)


@pytest.mark.parametrize("regions", [[WHOLE], [WHOLE, WHOLE]], ids=["blended", "summed"])
def test_one_face_replaces_what_its_mask_covers(regions: list[Region]) -> None:
    background = torch.rand(3, 100, 200)
    canvas = Canvas(background, regions)
    _lay(canvas, 0.25, 20)
    picture, mask = canvas.finish()
    assert torch.allclose(picture[:, mask >= 1], torch.full((3, int((mask >= 1).sum())), 0.25), atol=1e-5)
    assert torch.equal(picture[:, mask == 0], background[:, mask == 0])
    assert torch.allclose(picture, background + mask * (0.25 - background), atol=1e-5)


@pytest.mark.parametrize("regions", [[WHOLE], [WHOLE, WHOLE]], ids=["blended", "summed"])
def test_strength_blends(regions: list[Region]) -> None:
    canvas = Canvas(torch.full((3, 100, 200), 0.5), regions)
    _lay(canvas, 1.0, 20, strength=0.4)
    picture, mask = canvas.finish()
    assert torch.allclose(picture[:, mask >= 1].mean(), torch.tensor(0.7), atol=1e-5)


def test_overlapping_faces_merge_without_a_seam_in_any_order() -> None:
    """Two faces 0.4 apart in brightness: nowhere may the picture jump more than two soft edges explain."""
    pictures = []
    for order in ((20, 50), (50, 20)):
        canvas = Canvas(torch.full((3, 100, 200), 0.5), [WHOLE, WHOLE])
        for left in order:
            _lay(canvas, 0.3 if left == 20 else 0.7, left)
        picture, mask = canvas.finish()
        pictures.append(picture)
    assert torch.allclose(pictures[0], pictures[1], atol=1e-6)
    row = pictures[0][0, 42]
    assert row.min() >= 0.3 - 1e-5 and row.max() <= 0.7 + 1e-5
    steepest_edge = 1.5 * 0.2 / (0.1 * 64)  # smoothstep over the feather, from background to face
    assert row.diff().abs().max() <= 2 * steepest_edge
    assert mask[42, 50:84].min() == 1  # where both are whole the mask is too


def test_a_neighbour_s_middle_is_its_own() -> None:
    """In the middle of one face, another whose crop reaches over it counts for little."""
    canvas = Canvas(torch.full((3, 100, 200), 0.5), [WHOLE, WHOLE])
    _lay(canvas, 0.0, 20)
    _lay(canvas, 1.0, 44)
    picture, _ = canvas.finish()
    assert picture[0, 42, 52] < 0.1 and picture[0, 42, 76] > 0.9


@pytest.mark.parametrize("regions", [[WHOLE], [WHOLE, WHOLE]], ids=["blended", "summed"])
def test_the_background_is_not_changed(regions: list[Region]) -> None:
    background = torch.rand(3, 100, 200)
    copy = background.clone()
    canvas = Canvas(background, regions)
    _lay(canvas, 1.0, 20)
    canvas.finish()
    assert torch.equal(background, copy)


def test_no_faces_give_the_photo_back() -> None:
    background = torch.rand(3, 10, 20)
    picture, mask = Canvas(background, []).finish()
    assert torch.equal(picture, background) and mask.sum() == 0


def test_a_face_beyond_the_image_changes_nothing() -> None:
    to_crop = crop_transform(face_template(64) - 500, 64)
    region = crop_region(to_crop, 64, (40, 40))
    assert 0 in region.size
    background = torch.rand(3, 40, 40)
    canvas = Canvas(background, [region])
    canvas.lay(torch.zeros(3, 64, 64), to_crop, partial(box_mask, to_crop, 64, feather=0.1, device=CPU), region, 1.0)
    assert torch.equal(canvas.finish()[0], background)


@pytest.mark.parametrize("faces", [1, 2])
@pytest.mark.parametrize("interleaved", [False, True])
def test_the_compiled_canvas_is_the_plain_one(interleaved: bool, faces: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two turned faces that overlap, one of them cut by the border, on rows of several strips; or that one alone."""
    image = torch.rand(3, 300, 400, generator=torch.Generator().manual_seed(5))
    if interleaved:
        image = image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    crops = torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(6))
    transforms = [np.array([[1.1, 0.3, -90], [-0.3, 1.1, -20]]), np.array([[0.9, -0.1, -150.4], [0.1, 0.9, 30.2]])]
    regions = [crop_region(to_crop, 256, (300, 400)) for to_crop in transforms[:faces]]

    def composed() -> tuple[Tensor, Tensor]:
        canvas = Canvas(image, regions)
        for crop, to_crop, region, strength in zip(crops, transforms, regions, (0.6, 1.0)):
            canvas.lay(crop, to_crop, partial(box_mask, to_crop, 256, feather=0.1, device=CPU), region, strength)
        return canvas.finish()

    assert compositing.compiled_kernels() is not None  # facexlib brings numba
    compiled = composed()
    for module in (compositing, splines):
        monkeypatch.setattr(module, "compiled_kernels", lambda: None)
    plain = composed()
    untouched = plain[1] == 0
    assert 0.2 < untouched.float().mean() < 0.9
    assert (compiled[0] - plain[0]).abs().max() < 2e-4 and (compiled[1] - plain[1]).abs().max() < 2e-5
    assert torch.equal(compiled[0][:, untouched], image[:, untouched])
    assert compiled[0].stride() == image.stride()


@pytest.mark.parametrize("ratio", [0.5, 2, 4])
def test_a_parsed_mask_of_any_resolution_lies_where_the_crop_does(ratio: float) -> None:
    """A ramp over the crop's pixels, as a mask that is coarser or finer shows it."""
    side = round(64 * ratio)
    ramp = ((torch.arange(side) + 0.5) / side).expand(1, side, side)
    shown = parsed_mask(ramp, AS_IT_IS, 64, Region(0, 0, 64, 64))
    wanted = (torch.arange(64) + 0.5) / 64
    assert (shown - wanted)[:, 8:56].abs().max() < 1e-4
