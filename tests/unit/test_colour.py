"""Colours of the restored face, on networks that tint, shift and stretch by known amounts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from gpen2048 import FaceRestorer, RestoreOptions
from gpen2048.appearance.colour import matched, original_chroma
from gpen2048.appearance.oklab import from_oklab, to_oklab
from gpen2048.faces import Face
from torch import Tensor

LUMA = torch.tensor([0.2126, 0.7152, 0.0722])


@pytest.fixture(scope="module")
def soft_portrait(portrait: Tensor) -> Tensor:
    """Nothing near black or white, where a tint could not be told from clipping."""
    return portrait * 0.5 + 0.2


def crops_with(network: Any, photo: Tensor, face: Face, **options: Any) -> tuple[Tensor, Tensor]:
    result = FaceRestorer(network)(photo, RestoreOptions(strength=1, **options), faces=[face])
    return result.crops[0]


def tint(before: Tensor, after: Tensor) -> float:
    """Largest change of a channel's mean, less what lightness alone explains, in 255ths."""
    change = (after - before).mean(dim=(1, 2)) * 255
    return float((change - change @ LUMA).abs().max())


def detail(crop: Tensor) -> float:
    """Energy of the luma's high frequencies."""
    grey = (crop * LUMA[:, None, None]).sum(dim=0)[None, None]
    return float((grey - F.avg_pool2d(grey, 5, 1, 2, count_include_pad=False)).square().sum())


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((1, 1, 1), (1, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((1, 0, 0), (0.62796, 0.22486, 0.12585)),  # these three: W3C, CSS Color 4, examples of oklab()
        ((0, 1, 0), (0.86644, -0.23389, 0.17950)),
        ((0, 0, 1), (0.45201, -0.03246, -0.31153)),
    ],
)
def test_oklab_is_that_of_its_author(rgb: Any, lab: Any) -> None:
    seen = to_oklab(torch.tensor(rgb, dtype=torch.float32).view(1, 3, 1, 1)).flatten()
    assert torch.allclose(seen, torch.tensor(lab, dtype=torch.float32), atol=1e-4)


def test_oklab_and_back() -> None:
    colours = torch.rand(2, 3, 40, 50)
    assert (from_oklab(to_oklab(colours)) - colours).abs().max() < 1e-4


@pytest.mark.parametrize("channel", [0, 1, 2])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_tint_is_taken_out_and_detail_kept(
    network_that: Any, soft_portrait: Tensor, portrait_face: Face, channel: int, sign: int
) -> None:
    shift = torch.zeros(3, 1, 1)
    shift[channel] = sign * 10 / 255
    tinted = network_that(lambda crops: crops + shift)
    before, restored = crops_with(tinted, soft_portrait, portrait_face)
    _, corrected = crops_with(tinted, soft_portrait, portrait_face, colour="original-chroma")
    assert tint(before, restored) > 2.5  # 7 for red, 3 for green, 9 for blue
    assert tint(before, corrected) < 0.5
    assert detail(corrected) == pytest.approx(detail(restored), rel=0.01)


def test_detail_of_a_sharpening_network_is_kept(network_that: Any, soft_portrait: Tensor, portrait_face: Face) -> None:
    def sharpen_and_tint(crops: Tensor) -> Tensor:
        soft = F.avg_pool2d(crops, 5, 1, 2, count_include_pad=False)
        return (crops + 1.5 * (crops - soft) + torch.tensor([0.04, 0, 0])[:, None, None]).clamp(0, 1)

    network = network_that(sharpen_and_tint)
    before, restored = crops_with(network, soft_portrait, portrait_face)
    _, corrected = crops_with(network, soft_portrait, portrait_face, colour="original-chroma")
    assert detail(restored) > 2 * detail(before)
    assert detail(corrected) == pytest.approx(detail(restored), rel=0.01)
    assert tint(before, corrected) < 0.5


def test_edges_the_network_moved_get_no_fringes(network_that: Any, portrait: Tensor, portrait_face: Face) -> None:
    """Four pixels of 256 aside: the photo's chroma taken as it is would lie that far beside the new edges."""
    before, moved = crops_with(network_that(lambda crops: crops.roll(4, dims=-1)), portrait, portrait_face)
    corrected = original_chroma(before[None], moved[None])
    wanted, old = to_oklab(moved[None])[:, 1:], to_oklab(before[None])[:, 1:]
    fringes_of_a_copy = (old - wanted).abs()[..., 16:-16].mean()
    fringes = (to_oklab(corrected)[:, 1:] - wanted).abs()[..., 16:-16].mean()
    assert fringes < fringes_of_a_copy / 2


def test_a_network_that_returns_its_input_keeps_its_colours(portrait: Tensor) -> None:
    crop = portrait[None]
    assert (original_chroma(crop, crop) - crop).abs().max() < 1e-4
    assert (matched(crop, crop, torch.ones(512, 512)) - crop).abs().max() < 1e-4


def test_match_gives_mean_and_spread_inside_the_mask(portrait: Tensor) -> None:
    before = (portrait * 0.6 + 0.2)[None]
    after = (before * torch.tensor([0.7, 0.9, 0.8])[:, None, None] + 0.1).clamp(0, 1)
    mask = torch.zeros(512, 512)
    mask[96:304, 160:352] = 1  # whole cells
    result = matched(before, after, mask)
    old, off, new = (to_oklab(crop)[..., 96:304, 160:352] for crop in (before, after, result))
    assert (off.mean(dim=(2, 3)) - old.mean(dim=(2, 3))).abs().max() > 0.03
    assert torch.allclose(new.mean(dim=(2, 3)), old.mean(dim=(2, 3)), atol=2e-3)
    assert torch.allclose(new.std(dim=(2, 3)), old.std(dim=(2, 3)), rtol=0.05)
    assert torch.equal(matched(before, after, torch.zeros(512, 512)), after)


def test_match_does_not_make_grain_into_contrast(portrait: Tensor) -> None:
    """A noisy photo and a network that cleans it: the clean picture keeps its spread."""
    clean = (portrait * 0.6 + 0.2)[None]
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(4)) * 12 / 255
    result = matched((clean + noise).clamp(0, 1), clean, torch.ones(512, 512))
    assert (result - clean).abs().max() < 4 / 255


def test_match_goes_by_what_is_shown(network_that: Any, soft_portrait: Tensor, portrait_face: Face) -> None:
    """A network that spoils the rim of the crop, which is never shown, is matched as one that does not."""

    def darken(crops: Tensor) -> Tensor:
        return crops * 0.8

    def darken_and_spoil(crops: Tensor) -> Tensor:
        crops = crops * 0.8
        crops[..., :4] = 1
        return crops

    plain, spoilt = (
        crops_with(network_that(effect), soft_portrait, portrait_face, colour="match")[1]
        for effect in (darken, darken_and_spoil)
    )
    assert torch.allclose(plain[..., 8:], spoilt[..., 8:], atol=1e-3)


@pytest.mark.parametrize("colour", ["original-chroma", "match"])
def test_a_grey_face_stays_grey(network_that: Any, soft_portrait: Tensor, portrait_face: Face, colour: str) -> None:
    grey = (soft_portrait * LUMA[:, None, None]).sum(dim=0).expand(3, -1, -1).contiguous()
    grey[:, 0, 0] = torch.tensor([1.0, 0, 0])  # else the photo is black and white, whatever the option
    tinted = network_that(lambda crops: crops + torch.tensor([0.04, -0.02, 0])[:, None, None])
    _, after = crops_with(tinted, grey, portrait_face, colour=colour)
    left = (after - after.mean(dim=0)).abs() * 255
    assert left.mean() < 0.3 and left.max() < 1.5  # of 10 and 5


def test_a_flat_face_is_matched_to_numbers(portrait: Tensor) -> None:
    before, flat = portrait[None, :, :256, :256], torch.full((1, 3, 256, 256), 0.5)
    result = matched(before, flat, torch.ones(256, 256))
    assert result.isfinite().all() and (result - before.mean(dim=(2, 3), keepdim=True)).abs().max() < 0.1
