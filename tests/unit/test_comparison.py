"""The before/after sheet: what lies where, checked on plain colours."""

from __future__ import annotations

import pytest
import torch
from gpen2048.sheets.comparison import compare_sheet
from gpen2048.sheets.layout import BACKGROUND, SHEET_WIDTH
from PIL import ImageFont
from torch import Tensor

RED, LIME, BLUE, YELLOW = (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0)
CAPTION_TOP = 32 + 49 + 570 + 32  # margin, labels, a photo of 4 to 3, margin


def plain(colour: tuple[int, int, int], height: int = 30, width: int = 40) -> Tensor:
    return torch.tensor(colour, dtype=torch.float32).view(3, 1, 1).expand(3, height, width)


def box_of(sheet: Tensor, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the pixels of that colour."""
    rows, columns = torch.where((sheet - torch.tensor(colour).view(3, 1, 1)).abs().amax(0) < 0.01)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def faces(count: int) -> tuple[list[tuple[Tensor, Tensor]], list[str]]:
    return [(torch.rand(3, 8, 8), torch.rand(3, 8, 8))] * count, [f"face {i}" for i in range(count)]


def height_with(count: int, most_faces: int = 8) -> int:
    return compare_sheet(plain(RED), plain(LIME), *faces(count), most_faces=most_faces).shape[1]


def without_free_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow as it was before 10.1: `load_default` knows no size."""
    load_default = getattr(ImageFont, "load_default_imagefont", ImageFont.load_default)
    monkeypatch.setattr(ImageFont, "load_default", lambda: load_default())


def test_photos_side_by_side_at_one_size_whatever_their_scale() -> None:
    sheet = compare_sheet(plain(RED), plain(LIME, 120, 160))
    left, right = box_of(sheet, RED), box_of(sheet, LIME)
    assert sheet.shape[0] == 3 and sheet.shape[2] == SHEET_WIDTH and sheet.dtype == torch.float32
    assert left[1::2] == right[1::2] and left[2] < right[0]
    assert left[0] == SHEET_WIDTH - right[2]  # symmetric
    assert left[2] - left[0] == right[2] - right[0] == 760
    assert left[3] - left[1] == 570  # 3 to 4


@pytest.mark.parametrize(("height", "width"), [(4000, 30), (30, 4000), (1, 1), (900, 600)])
def test_any_proportions_fit(height: int, width: int) -> None:
    sheet = compare_sheet(plain(RED, height, width), plain(LIME, height, width))
    for colour in (RED, LIME):
        left, top, right, bottom = box_of(sheet, colour)
        assert 0 < right - left <= 760 and 0 < bottom - top <= 1000
        assert (bottom - top) / (right - left) == pytest.approx(height / width, rel=0.15)


def test_face_row_shows_both_crops_and_their_middles() -> None:
    before, after = plain(RED, 100, 100).clone(), plain(LIME, 100, 100).clone()
    before[:, 34:74, 30:70] = plain(BLUE, 40, 40)  # eyes, nose and mouth of the template
    after[:, 34:74, 30:70] = plain(YELLOW, 40, 40)
    black = torch.zeros(3, 10, 10)
    sheet = compare_sheet(black, black, [(before, after)], ["face 1"])
    top, bottom = box_of(sheet, RED)[1::2]
    for colour, column in ((RED, 0), (LIME, 1), (BLUE, 2), (YELLOW, 3)):
        left = 32 + column * (372 + 16)
        cell = sheet[:, top : top + 372, left : left + 372]
        assert bottom - top == 372 and torch.allclose(cell[:, 0, 0], torch.tensor(colour).float(), atol=0.01)
    for colour, column in ((BLUE, 2), (YELLOW, 3)):
        left = 32 + column * (372 + 16)
        detail = sheet[:, top:bottom, left : left + 372]
        assert torch.allclose(detail, plain(colour, 372, 372), atol=0.01)


def test_each_face_adds_a_row_up_to_the_most() -> None:
    row = height_with(2) - height_with(1)
    assert 372 < row < 600
    assert height_with(3) - height_with(2) == row
    assert height_with(29, most_faces=3) == height_with(3)
    assert not torch.equal(*(compare_sheet(plain(RED), plain(LIME), *faces(n), most_faces=0) for n in (1, 2)))


@pytest.mark.parametrize("free_type", [True, False])
@pytest.mark.parametrize("caption", ["face 3, 45 px, strength 0.8", "visage nº 3", "顔 3", "long " * 200])
def test_captions_are_drawn_above_their_face(monkeypatch: pytest.MonkeyPatch, free_type: bool, caption: str) -> None:
    if not free_type:
        without_free_type(monkeypatch)
    sheets = [compare_sheet(plain(RED), plain(LIME), faces(1)[0], [text]) for text in ("", caption)]
    blank, captioned = (sheet[:, : CAPTION_TOP + 42] for sheet in sheets)  # the face below is random
    rows, columns = torch.where((captioned - blank).abs().amax(0) > 0.2)
    assert len(rows) > 50
    assert rows.min() >= CAPTION_TOP and columns.min() >= 32 and columns.max() < SHEET_WIDTH - 32
    assert captioned.min() >= 0 and captioned.max() <= 1


def test_inputs_stay_as_they_are_and_the_margin_is_background() -> None:
    photo = torch.rand(3, 20, 20, dtype=torch.float64)
    copy = photo.clone()
    sheet = compare_sheet(photo, photo, [(photo, photo)], ["face"])
    assert torch.equal(photo, copy) and sheet.dtype == torch.float32
    assert bool((sheet[:, :, :32] == BACKGROUND).all()) and bool((sheet[:, :, -32:] == BACKGROUND).all())


def test_faces_and_captions_must_agree() -> None:
    with pytest.raises(ValueError, match="2 faces with 1 captions"):
        compare_sheet(plain(RED), plain(LIME), faces(2)[0], ["one"])
