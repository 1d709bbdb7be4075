"""The sheet of options, and the command that makes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gpen2048 import FaceRestorer, RestoreOptions
from gpen2048.cli import main
from gpen2048.cli.comparing import SHOWN
from gpen2048.errors import UnsupportedImageError
from gpen2048.faces import Face
from gpen2048.images import read_image
from gpen2048.sheets.layout import GAP, MARGIN, SHEET_WIDTH, column_width, space
from gpen2048.sheets.options import DIM, OptionSheet, Row
from PIL import Image
from torch import Tensor

TESTS = Path(__file__).parents[1]


def cell(sheet: Tensor, column: int, columns: int) -> Tensor:
    """The square picture in that column of the first row, without a rim where it was resized."""
    side = column_width(columns)
    left = MARGIN + column * (side + GAP)
    return sheet[:, MARGIN + 8 : MARGIN + side - 8, left + 8 : left + side - 8]


@pytest.fixture(scope="module")
def painting(network_that: Any) -> FaceRestorer:
    return FaceRestorer(network_that(lambda crops: torch.ones_like(crops)))


def sheet_of(restorer: FaceRestorer, photo: Tensor, faces: list[Face], *rows: Row, **options: Any) -> Tensor:
    return OptionSheet(photo, lambda _: faces, 0, restorer, RestoreOptions(**options)).draw(rows)


def test_a_look_is_shown_at_each_value(painting: FaceRestorer, portrait_face: Face) -> None:
    """White faces on black: the brightness of a picture's middle is the strength."""
    black = torch.zeros(3, 300, 400)
    row = Row("strength", (0.25, 0.5, 1.0))
    sheet = sheet_of(painting, black, [portrait_face], row)
    assert sheet.shape[0] == 3 and sheet.shape[2] == SHEET_WIDTH and sheet.dtype == torch.float32
    for column, brightness in enumerate((0, 0.25, 0.5, 1.0)):
        middle = cell(sheet, column, 4)[:, 150:200, 150:200]
        assert torch.allclose(middle, torch.full_like(middle, brightness), atol=0.01)


def test_a_choice_is_shown_on_the_whole_photo(painting: FaceRestorer, group_faces: list[Face]) -> None:
    white = torch.ones(3, 568, 1328)
    sheet = sheet_of(painting, white, group_faces, Row("select", ("all", "largest")))
    width = column_width(2)
    scale = width / 1328
    largest = max(group_faces, key=lambda face: face.size)
    for number, face in enumerate(group_faces):
        x, y = ((face.box[:2] + face.box[2:]) / 2 * scale).round().astype(int)
        chosen, other = (float(sheet[0, MARGIN + y, MARGIN + c * (width + GAP) + x]) for c in (0, 1))
        assert chosen == pytest.approx(1, abs=0.01), number
        assert other == pytest.approx(1 if face is largest else DIM, abs=0.01), number


def test_each_row_adds_to_the_height(painting: FaceRestorer, group_photo: Tensor, group_faces: list[Face]) -> None:
    row = Row("max_faces", (1, 5))
    one, two = (sheet_of(painting, group_photo, group_faces, *[row] * count) for count in (1, 2))
    assert two.shape[1] - one.shape[1] == one.shape[1] - MARGIN
    assert torch.equal(one, two[:, : one.shape[1]])


def test_a_fading_choice_says_how_much_its_faces_get(painting: FaceRestorer, group_faces: list[Face]) -> None:
    white = torch.ones(3, 568, 1328)
    sheet = OptionSheet(white, lambda _: group_faces, 0, painting, RestoreOptions(min_face=16))
    texts = labels_of(sheet, Row("fade_until", (0, 64)), Row("min_face", (0, 500)))
    assert texts[0] == "fade_until 0: 29 chosen" and texts[2:] == ["min_face 0: 29 chosen", "min_face 500: 0 chosen"]
    strength = float(texts[1].removeprefix("fade_until 64: 29 chosen, mean strength "))
    assert 0.3 < strength < 0.9  # faces of 33 to 53 px


def test_a_template_shows_where_its_mask_ends(painting: FaceRestorer, portrait_face: Face) -> None:
    black = torch.zeros(3, 300, 400)
    sheet = sheet_of(painting, black, [portrait_face], Row("template", ("gpen", "ffhq")))
    areas = []
    for column in (1, 2):
        picture = cell(sheet, column, 3)
        marked = (picture[0] - picture[2]).cpu().numpy() > 0.5  # the line is yellow, all else grey
        columns = np.flatnonzero(marked.any(axis=0))
        areas.append(columns[-1] - columns[0])
    assert 0.6 < areas[1] / areas[0] < 0.95


def test_who_is_skipped_is_said(painting: FaceRestorer, portrait_face: Face) -> None:
    """Its cell shows the photo as it is."""
    black = torch.zeros(3, 300, 400)
    sheet = sheet_of(painting, black, [portrait_face], Row("strength", (1.0, 0.8, 0.4)), min_face=500)
    assert cell(sheet, 1, 4).max() == 0


def labels_of(sheet: OptionSheet, *rows: Row) -> list[str]:
    texts: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gpen2048.sheets.options.text_row", lambda labels, *_: texts.extend(labels) or space(9))
        sheet.draw(rows)
    return texts


def test_each_value_has_the_faces_that_are_found_with_it(painting: FaceRestorer, group_faces: list[Face]) -> None:
    def find(options: RestoreOptions) -> list[Face]:
        return group_faces[: 7 if options.threshold < 0.5 else 3] + group_faces[-1:] * (options.max_tilt > 0)

    sheet = OptionSheet(torch.ones(3, 568, 1328), find, 0, painting, RestoreOptions())
    texts = labels_of(sheet, Row("threshold", (0.1, 0.9)), Row("max_tilt", (0, 90)), Row("select", ((0, 2), "all")))
    searched = ["threshold 0.1: 7 chosen", "threshold 0.9: 3 chosen", "max_tilt 0: 3 chosen", "max_tilt 90: 4 chosen"]
    assert texts == [*searched, "select 0,2: 2 chosen", "select all: 3 chosen"]


def test_looks_are_shown_on_the_face_of_that_number(painting: FaceRestorer, group_faces: list[Face]) -> None:
    photo = torch.zeros(3, 568, 1328)
    left = min(group_faces, key=lambda face: face.box[0])
    x, y = ((left.box[:2] + left.box[2:]) / 2).round().astype(int)
    photo[:, y - 9 : y + 9, x - 9 : x + 9] = 0.5
    assert left is not group_faces[0]
    for order, brightness in (("left-right", 0.5), ("found", 0)):
        sheet = sheet_of(painting, photo, group_faces, Row("strength", (0.0, 0.0, 0.0)), order=order)
        assert cell(sheet, 0, 4)[:, 100:300, 100:300].max() == pytest.approx(brightness, abs=0.1)


def test_a_face_outside_the_picture_shows_no_looks(painting: FaceRestorer, portrait_face: Face) -> None:
    away = Face(portrait_face.box + 5000, portrait_face.landmarks + 5000)
    with pytest.raises(UnsupportedImageError, match="face 0 lies outside the picture"):
        sheet_of(painting, torch.zeros(3, 300, 400), [away], Row("strength", (1.0,)))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "GPEN-BFR-256.pth"
    assert main(["passthrough", str(path), "--size", "256", "--sharpen", "2"]) == 0
    return path


@pytest.fixture(scope="module")
def landmarks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    golden = json.loads((TESTS / "golden" / "alignment.json").read_text())
    path = tmp_path_factory.mktemp("landmarks") / "faces.json"
    path.write_text(json.dumps(golden["faces"][:3]))
    return path


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_the_command_writes_a_sheet(
    tmp_path: Path, photo_path: Path, network: Path, landmarks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "sheet.png"
    code = run(
        "compare-sheet", photo_path, "-o", out, "--network", network, "--landmarks", landmarks, "--device", "cpu",
        "--vary", "texture=0/1", "--vary", "min-face=16/60", "--vary", "scale=1/auto", "--face", "1",
    )  # fmt: skip
    printed = capsys.readouterr().out
    assert code == 0 and Image.open(out).width == SHEET_WIDTH
    assert "3 faces found, looks shown on face 1" in printed and "texture 1.0" in printed and "scale auto" in printed


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--vary", "beauty=1"], "--vary is 'beauty=1'; wanted OPTION=VALUE/VALUE/… with one of strength"),
        (["--vary", "strength"], "wanted OPTION=VALUE"),
        (["--vary", "max_crops=1/2"], "wanted OPTION=VALUE/VALUE/… with one of strength"),
        (["--vary", "strength=much"], "wanted numbers for strength"),
        (["--vary", "strength=0/7"], "strength is 7.0; wanted a number from 0 to 1"),
        (["--vary", "colour=pink"], "colour is 'pink'; wanted one of"),
        (["--face", "3"], "--face is 3; wanted 0 to 2"),
    ],
)
def test_a_wrong_row_is_one_line(
    tmp_path: Path,
    photo_path: Path,
    network: Path,
    landmarks: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    wanted: str,
) -> None:
    out = tmp_path / "sheet.png"
    code = run(
        "compare-sheet", photo_path, "-o", out, "--network", network, "--landmarks", landmarks, *arguments
    )  # fmt: skip
    errors = capsys.readouterr().err
    assert code == 1 and wanted in errors and len(errors.strip().splitlines()) == 1 and not out.exists()


def test_the_rows_shown_by_default_are_options() -> None:
    from gpen2048.cli.comparing import read_row

    rows = [read_row(text) for text in SHOWN]
    for row in rows:
        for value in row.values:
            RestoreOptions(**{row.name: value})
    assert {"strength", "colour", "adaptive", "texture", "feather", "select", "order"} <= {row.name for row in rows}


def test_region_and_mask_on_the_command_line(
    tmp_path: Path, photo_path: Path, network: Path, landmarks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    golden = json.loads(landmarks.read_text())
    x, y = ((np.array(golden[1]["box"][:2]) + golden[1]["box"][2:]) / 2).tolist()
    region = np.zeros((71, 166), np.uint8)  # an eighth of the photo
    region[round(y / 8) - 1 : round(y / 8) + 2, round(x / 8) - 1 : round(x / 8) + 2] = 255
    Image.fromarray(region).save(tmp_path / "region.png")
    out, mask, report = tmp_path / "o.png", tmp_path / "m.png", tmp_path / "r.json"
    code = run(
        "restore", photo_path, "-o", out, "--network", network, "--landmarks", landmarks, "--strength", "1",
        "--region", tmp_path / "region.png", "--save-mask", mask, "--report", report, "--device", "cpu",
    )  # fmt: skip
    assert code == 0 and "1 restored (outside the region)" in capsys.readouterr().out
    faces = json.loads(report.read_text())["pictures"][0]["faces"]
    assert [face["restored"] for face in faces] == [False, True, False]
    assert faces[1]["strength"] == 1 and faces[1]["turn"] < 20
    written, before = read_image(out).pixels, read_image(photo_path).pixels
    shown = read_image(mask).pixels[0]
    assert torch.equal(written[:, shown == 0], before[:, shown == 0]) and shown[round(y), round(x)] == 1
    Image.new("RGB", (9, 9)).save(tmp_path / "other.png")
    several = run(
        "restore", photo_path, tmp_path / "other.png", "-o", tmp_path / "out", "--network", network, "--save-mask", mask
    )
    assert several == 1 and "--save-mask is of one picture" in capsys.readouterr().err
