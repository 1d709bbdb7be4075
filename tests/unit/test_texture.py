"""Grain given back to skin, on networks that keep it, lose it or have some of their own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from gpen2048 import FaceRestorer, RestoreOptions
from gpen2048.appearance.texture import COARSEST, blurred, skin_oval, with_texture
from gpen2048.faces import Face
from gpen2048.inference import Network
from torch import Tensor

SIZE = 256
CPU = torch.device("cpu")
SKIN = skin_oval(SIZE, "gpen", CPU)


def noise(pixel: float, seed: int = 1) -> Tensor:
    """Grain as fine as the pixels of a photo that are `pixel` wide in the crop, 4 % strong."""
    samples = round(SIZE / pixel)
    grain = torch.randn(3, samples, samples, generator=torch.Generator().manual_seed(seed)) * 0.04
    return torch.nn.functional.interpolate(grain[None], (SIZE, SIZE), mode="bicubic")[0]


def grain_in(crop: Tensor, where: Tensor, pixel: float) -> float:
    """The standard deviation of what is finer than the face."""
    return float((crop - blurred(crop, COARSEST * pixel))[:, where > 0.99].std())


def face_like() -> Tensor:
    """A smooth picture with some shading."""
    ramp = torch.linspace(0.3, 0.7, SIZE)
    return torch.stack((ramp.expand(SIZE, SIZE), ramp[:, None].expand(SIZE, SIZE), ramp.flip(0).expand(SIZE, SIZE)))


@pytest.mark.parametrize("pixel", [1.0, 2.5, 6.0])
def test_what_a_smoothing_network_lost_comes_back(pixel: float) -> None:
    smooth = face_like()
    before = smooth + noise(pixel)
    after = with_texture(before, smooth, SKIN, pixel, 1.0)
    assert grain_in(smooth, SKIN, pixel) < 0.02 * grain_in(before, SKIN, pixel)
    assert grain_in(after, SKIN, pixel) == pytest.approx(grain_in(before, SKIN, pixel), rel=0.1)
    half = with_texture(before, smooth, SKIN, pixel, 0.5)
    assert torch.allclose(half - smooth, (after - smooth) / 2, atol=1e-4)


def test_outside_skin_nothing_changes() -> None:
    smooth = face_like()
    after = with_texture(smooth + noise(2.0), smooth, SKIN, 2.0, 1.0)
    assert torch.equal(after[:, SKIN == 0], smooth[:, SKIN == 0])


def test_what_was_kept_is_not_doubled() -> None:
    before = face_like() + noise(2.0)
    assert (with_texture(before, before, SKIN, 2.0, 1.0) - before).abs().max() < 1e-3
    own = face_like() + noise(2.0, seed=2)  # as much, but other grain: the network's own
    after = with_texture(before, own, SKIN, 2.0, 1.0)
    assert grain_in(after, SKIN, 2.0) < 1.05 * grain_in(before, SKIN, 2.0)


def test_the_face_s_own_detail_is_not_brought_along() -> None:
    """An edge, blurred over many pixels as that of a bad photo, is the face's; grain is finer."""
    edge = (torch.arange(SIZE) > SIZE / 2).float().expand(3, SIZE, SIZE) * 0.4 + 0.3
    before, after = blurred(edge, 12.0), edge
    changed = with_texture(before, after, torch.ones(SIZE, SIZE), 2.0, 1.0) - after
    assert changed.abs().max() < 0.004


def test_a_photo_without_grain_gives_none() -> None:
    smooth = face_like()
    assert (with_texture(smooth, smooth * 0.9, SKIN, 3.0, 1.0) - smooth * 0.9).abs().max() < 1e-3


def test_skin_has_no_eyes_and_no_mouth() -> None:
    from gpen2048.alignment import face_template

    for kind in ("gpen", "ffhq"):
        skin = skin_oval(SIZE, kind, CPU)
        left_eye, right_eye, _, left_mouth, right_mouth = face_template(SIZE, kind)
        for x, y in (left_eye, right_eye, (left_mouth + right_mouth) / 2):
            assert skin[round(y), round(x)] == 0
        cheek = (left_eye + left_mouth) / 2 - [8, 0]
        assert skin[round(cheek[1]), round(cheek[0])] == 1
        assert skin[0].max() == skin[:, 0].max() == skin[-1].max() == 0
        assert 0.08 < skin.mean() < 0.35


def test_on_a_photo_and_through_the_restorer(
    network_that: Any, tiny_passthrough: Network, group_photo: Tensor, group_faces: list[Face]
) -> None:
    """The old photo's grain, taken out by a network that smooths, is back in the skin of a face; eyes stay smooth."""
    smoothing = network_that(lambda crops: torch.stack([blurred(crop, 16.0) for crop in crops]))
    results = [
        FaceRestorer(smoothing)(group_photo, RestoreOptions(strength=1, texture=amount), faces=group_faces[:1])
        for amount in (0.0, 1.0)
    ]
    pixel = 256 / 76  # this face's crop is 76 px in the photo
    (before, smooth), (_, after) = (result.crops[0] for result in results)
    had, lost, has = (grain_in(crop, SKIN, pixel / 3) for crop in (before, smooth, after))  # the finest of it
    assert lost < 0.1 * had and 0.75 * had < has < 1.05 * had
    same = FaceRestorer(tiny_passthrough)(group_photo, RestoreOptions(strength=1, texture=1), faces=group_faces[:1])
    kept, given = same.crops[0]
    assert (given - kept).abs().max() < 2 / 255
