"""What is shown of a restored face: parsed masks with a stand-in parser that knows classes by colour."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from gpen2048 import FaceRestorer, InvalidOptionError, Restoration, RestoreOptions
from gpen2048.alignment import crop_transform, face_template
from gpen2048.faces import Face
from gpen2048.geometry.transforms import density
from gpen2048.parsing import FACE, FaceParser, soft_mask
from torch import Tensor, nn

# Colours of the drawing below, as CelebAMask-HQ numbers what they stand for.
SKIN, HAIR, HAT, HAND = (0.7, 0.5, 0.4), (0.2, 0.1, 0.1), (0.1, 0.2, 0.6), (0.3, 0.7, 0.3)
CLASSES = {1: SKIN, 13: HAIR, 14: HAT, 0: HAND}  # a hand is background
SIDE = 240  # px of the drawn crop


class ByColour(nn.Module):
    """Gives each pixel the class whose colour is nearest."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores = torch.full((len(x), 19, *x.shape[2:]), -9.0)
        for number, colour in CLASSES.items():
            wanted = torch.tensor(colour)[:, None, None] * 2 - 1
            scores[:, number] = -(x - wanted).abs().sum(dim=1)
        return scores, x


def drawn() -> tuple[Tensor, Face]:
    """A face with a hat, hair below it, and a hand before its lower left: (3, 300, 300)."""
    photo = torch.tensor(SKIN)[:, None, None].repeat(1, 300, 300)
    photo[:, :60] = torch.tensor(HAT)[:, None, None]
    photo[:, 60:100] = torch.tensor(HAIR)[:, None, None]
    photo[:, 190:, :120] = torch.tensor(HAND)[:, None, None]
    return photo, Face([80, 70, 220, 260], face_template(SIDE) + 30, 1.0)


def changed(result: Restoration, photo: Tensor) -> Tensor:
    return (result.image - photo).abs().amax(dim=0)


def restored(network: Any, **options: Any) -> tuple[Restoration, Tensor]:
    photo, face = drawn()
    restorer = FaceRestorer(network, parser=FaceParser(ByColour()))
    return restorer(photo, RestoreOptions(strength=1, **options), faces=[face]), photo


@pytest.fixture(scope="module")
def brightening(network_that: Any) -> Any:
    return network_that(lambda crops: crops + 0.05)


def test_the_face_alone_leaves_hat_hair_and_hand_as_they_were(brightening: Any) -> None:
    result, photo = restored(brightening, mask="face")
    for rows, columns in ((slice(0, 97), slice(0, 300)), (slice(194, 300), slice(0, 117))):
        assert changed(result, photo)[rows, columns].max() < 1e-4
    assert result.mask[150, 150] > 0.99 and changed(result, photo)[150, 150] == pytest.approx(0.05, abs=1e-3)


def test_face_and_hair_are_the_authors_choice(brightening: Any) -> None:
    result, photo = restored(brightening, mask="parse")
    assert result.mask[80, 150] > 0.6  # hair is replaced
    assert changed(result, photo)[40, 150] < 0.001 and changed(result, photo)[230, 90] < 0.001  # hat and hand are not


def test_the_box_takes_all(brightening: Any) -> None:
    result, photo = restored(brightening)
    assert min(changed(result, photo)[y, x] for y, x in ((70, 150), (80, 150), (230, 90))) > 0.04


def test_a_hand_that_the_network_painted_over_is_still_there(network_that: Any) -> None:
    """The restored crop shows skin everywhere, so only the photo tells what covers the face."""
    painting = network_that(lambda crops: torch.tensor(SKIN)[:, None, None].expand_as(crops) + 0.05)
    result, photo = restored(painting, mask="face")
    assert changed(result, photo)[196:, :115].max() < 1e-4
    overpainted, _ = restored(painting, mask="parse")
    assert changed(overpainted, photo)[230, 90] > 0.3


def test_the_mask_that_was_used_comes_out(network_that: Any, brightening: Any) -> None:
    """At strength 1 it is what the brighter network's result differs by from one that returns its input."""
    same = network_that(lambda crops: crops)
    for mask in ("box", "parse", "face"):
        result, _ = restored(brightening, mask=mask)
        plain, _ = restored(same, mask=mask)
        assert torch.allclose((result.image - plain.image).mean(dim=0), 0.05 * result.mask, atol=1e-3)
        assert 0 < result.mask.mean() < 1


def test_the_feather_follows_the_size_of_the_face(network_that: Any) -> None:
    """Three faces of different sizes: seen in units of their crop, the masks are the same."""
    network = network_that(lambda crops: crops)
    profiles = []
    for side in (80, 160, 320):
        face = Face([20, 20, 60, 60], face_template(side) + 40, 1.0)
        scale = density(crop_transform(face.landmarks, 256)) / 256
        mask = FaceRestorer(network)(torch.rand(3, 400, 400), RestoreOptions(feather=0.2), faces=[face]).mask
        row = mask[40 + side // 2]
        width = float(((row > 0.05) & (row < 0.95)).sum()) / 2 * scale
        profiles.append((width, float((row > 0.5).sum()) * scale))
    for width, inside in profiles:
        assert width == pytest.approx(profiles[-1][0], abs=0.02) and inside == pytest.approx(profiles[-1][1], abs=0.03)


def test_the_feather_softens_parsed_masks_too() -> None:
    classes = torch.zeros(1, 512, 512, dtype=torch.int64)
    classes[:, 150:, :] = 1
    steps = []
    for feather in (0.02, 0.1, 0.3):
        column = soft_mask(classes, FACE, feather)[0, :, 256]
        assert column[150] == pytest.approx(0.5, abs=0.1)
        inner = soft_mask(classes, FACE, feather, inside=True)[0, :, 256]
        assert (inner[:150] == 0).all() and inner[-1] == 1
        steps.append(float(column.diff().max()))
    assert steps[0] > 4 * steps[1] > 8 * steps[2] > 0


@pytest.mark.parametrize("mask", ["parse", "face"])
def test_a_parsed_mask_needs_a_parser(brightening: Any, mask: str) -> None:
    photo, face = drawn()
    with pytest.raises(InvalidOptionError, match=f"mask is '{mask}' without a ParseNet"):
        FaceRestorer(brightening)(photo, RestoreOptions(mask=mask), faces=[face])  # pyright: ignore[reportArgumentType]  parametrised
