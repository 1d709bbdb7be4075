"""The face parser's loading and its soft masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from gpen2048.errors import CheckpointError
from gpen2048.options import RestoreOptions
from gpen2048.parsing import FACE, FACE_AND_HAIR, FaceParser, load_parser, parse, soft_mask
from torch import Tensor, nn


class Disc(nn.Module):
    """Calls a disc of radius 150 px skin, everything else cloth."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, column = torch.meshgrid(torch.arange(512) - 256, torch.arange(512) - 256, indexing="ij")
        disc = (y**2 + column**2 < 150**2).float()
        scores = torch.zeros(len(x), 19, 512, 512)
        scores[:, 1], scores[:, 18] = disc, 1 - disc
        return scores, x


def test_the_mask_is_soft_and_in_place() -> None:
    masks = soft_mask(FaceParser(Disc()).classes(torch.rand(2, 3, 128, 128)), FACE_AND_HAIR)
    assert masks.shape == (2, 512, 512) and masks.dtype == torch.float32
    row = masks[0, 256]
    assert row[256] == 1 and row[0] == 0
    assert 0.4 < row[256 + 150] < 0.6
    assert row.diff().abs().max() < 0.05


def test_weights_load_and_wrong_ones_are_named(tmp_path: Path) -> None:
    parsenet = pytest.importorskip("facexlib.parsing.parsenet")
    path = tmp_path / "parsing_parsenet.pth"
    torch.save(parsenet.ParseNet(in_size=512, out_size=512, parsing_ch=19).state_dict(), path)
    classes = load_parser(path).classes(torch.rand(1, 3, 64, 64))
    assert classes.shape == (1, 512, 512) and classes.min() >= 0 and classes.max() < 19
    torch.save({"quantize.embedding.weight": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match=r"this is a CodeFormer network; wanted facexlib's ParseNet$"):
        load_parser(path)


class Bands(nn.Module):
    """Calls 19 bands of rows by the 19 classes; in all `pictures` but the last they stand upside down."""

    def __init__(self, pictures: int):
        super().__init__()
        self.left = pictures

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        assert len(x) == 1  # two at once would take twice the memory
        self.left -= 1
        numbers = (torch.arange(512) * 19 // 512)[:, None].expand(512, 512)
        classes = (numbers.flip(0) if self.left else numbers)[None]
        return torch.nn.functional.one_hot(classes, 19).permute(0, 3, 1, 2).float(), x


def _shown(mask: Tensor) -> set[int]:
    """Classes in whose bands' middles the mask is more than a half."""
    return {number for number in range(19) if mask[(2 * number + 1) * 512 // 38, 256] > 0.5}


@pytest.mark.parametrize(
    ("kind", "shown"), [("parse", {*range(1, 14), 15}), ("face", set(range(1, 13)) & {18 - n for n in range(1, 13)})]
)
def test_which_classes_are_shown_and_which_are_skin(kind: Any, shown: set[int]) -> None:
    """As the authors have it: face, ears, lips, hair; or what is face in the photo and after. Skin is that of after."""
    crop = torch.rand(3, 64, 64)
    parser = FaceParser(Bands(2 if kind == "face" else 1))
    parsed = parse(parser, crop, crop, RestoreOptions(mask=kind, feather=0.02))
    assert parsed is not None
    assert _shown(parsed.mask) == shown
    assert _shown(parsed.skin) <= {1, 2} and parsed.skin[3 * 512 // 38 + 13, 256] > 0.3


@pytest.mark.parametrize("kind", ["parse", "face"])
def test_the_feather_is_that_of_the_options(kind: Any) -> None:
    crop = torch.rand(3, 64, 64)
    steps = []
    for feather in (0.02, 0.1):
        parsed = parse(FaceParser(Disc()), crop, crop, RestoreOptions(mask=kind, feather=feather))
        assert parsed is not None
        steps.append(float(parsed.mask[256].diff().abs().max()))
    assert steps[0] > 3 * steps[1]


def test_specks_inside_a_face_leave_no_holes() -> None:
    classes = torch.zeros(1, 512, 512)
    classes[:, 100:400, 100:400] = 1
    classes[:, 240:243, 250:253] = 18  # a few pixels that the parser calls cloth
    classes[:, 200:230, 300:330] = 18  # a finger
    mask = soft_mask(classes, FACE, inside=True)[0]
    assert mask[241, 251] == 1 and mask[215, 315] == 0
