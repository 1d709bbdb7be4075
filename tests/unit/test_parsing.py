"""The face parser's loading and its soft masks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from gpen2048.errors import CheckpointError
from gpen2048.parsing import FaceParser, load_parser
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
    masks = FaceParser(Disc())(torch.rand(2, 3, 128, 128))
    assert masks.shape == (2, 512, 512) and masks.dtype == torch.float32
    row = masks[0, 256]
    assert row[256] == 1 and row[0] == 0
    assert 0.4 < row[256 + 150] < 0.6
    assert row.diff().abs().max() < 0.05


def test_weights_load_and_wrong_ones_are_named(tmp_path: Path) -> None:
    parsenet = pytest.importorskip("facexlib.parsing.parsenet")
    path = tmp_path / "parsing_parsenet.pth"
    torch.save(parsenet.ParseNet(in_size=512, out_size=512, parsing_ch=19).state_dict(), path)
    mask = load_parser(path)(torch.rand(1, 3, 64, 64))
    assert mask.shape == (1, 512, 512) and mask.min() >= 0 and mask.max() <= 1
    torch.save({"quantize.embedding.weight": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match="this is a CodeFormer network; wanted ParseNet"):
        load_parser(path)
