"""`gpen2048 compare-sheet`: what the options do, on one photo."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import InvalidOptionError, UnsupportedImageError
from ..faces import Face
from ..images import Picture, output_format, read_image, write_image
from ..options import RestoreOptions
from ..selection import ordered
from ..sheets.options import OptionSheet, Row
from .equipment import Equipment
from .flags import add_option_flags, named_path, option_reader, read_option_flags, shown_options
from .landmarks import FaceFile
from .loading import add_equipment_flags, load_equipment
from .outputs import check_places, named_inputs
from .sources import refuse_inputs

Find = Callable[[RestoreOptions], Sequence[Face]]

SHOWN = (
    "strength=0.4/0.8/1",
    "colour=restored/original-chroma/match",
    "adaptive=0/0.5/1",
    "texture=0/0.5/1",
    "feather=0.02/0.1/0.3",
    "template=gpen/ffhq",
    "scale=1/2/auto",
    "select=all/largest/centre",
    "order=left-right/size/score",
    "max_faces=1/5/15",
    "min_face=16/40/44",
    "fade_until=0/48/64",
    "max_turn=90/25/10",
    "min_score=0/0.998/0.999",
)


def add_to(commands: Any) -> None:
    parser = commands.add_parser("compare-sheet", help="show what the options do, as a labelled grid on one photo")
    parser.add_argument("input", type=Path, metavar="PHOTO")
    parser.add_argument("-o", "--output", type=named_path, required=True, metavar="SHEET.png")
    parser.add_argument(
        "--vary",
        action="append",
        metavar="OPTION=VALUE/VALUE/…",
        help=f"one row of the sheet; repeat for more (default: {' '.join(SHOWN)})",
    )
    parser.add_argument("--face", type=int, metavar="NUMBER", help="the face to show looks on (default: the largest)")
    parser.add_argument("--landmarks", type=Path, metavar="FILE.json", help="faces, instead of a detector's")
    add_equipment_flags(parser)
    add_option_flags(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Writes the sheet; 0 when done."""
    options = read_option_flags(arguments)
    output_format(arguments.output.suffix)
    refuse_inputs([arguments.output], [arguments.input, *named_inputs(arguments)])
    rows = [read_row(text) for text in arguments.vary or SHOWN]
    check_places([arguments.output])
    parses = any(row.name == "mask" and set(row.values) != {"box"} for row in rows)
    equipment = load_equipment(arguments, replace(options, mask="face") if parses else options)
    image = read_image(arguments.input, equipment.device).pixels
    find = _finder(arguments, equipment, image)
    faces = find(options)
    shown = _shown(arguments.face, [faces[place] for place in ordered(faces, options.order)])
    sheet = OptionSheet(image, find, shown, equipment.restorer, options, equipment.upscaler, print)
    drawn, _ = equipment.in_memory(lambda: sheet.draw(rows))
    write_image(arguments.output, Picture(drawn))
    print(f"{arguments.input} -> {arguments.output}: {len(faces)} faces found, looks shown on face {shown}")
    return 0


def read_row(text: str) -> Row:
    """The row that OPTION=VALUE/VALUE/… asks for; InvalidOptionError when there is no such option or value."""
    name, _, values = text.partition("=")
    info = next((info for info in shown_options() if info.name == name.replace("-", "_")), None)
    if info is None or not values:
        names = ", ".join(info.name for info in shown_options())
        raise InvalidOptionError(f"--vary is {text!r}; wanted OPTION=VALUE/VALUE/… with one of {names}")
    try:
        read = [option_reader(info)(value) for value in values.split("/")]
    except ValueError as error:
        raise InvalidOptionError(f"--vary is {text!r}; wanted numbers for {info.name}") from error
    return Row(info.name, tuple(getattr(RestoreOptions(**{info.name: value}), info.name) for value in read))


def _finder(arguments: argparse.Namespace, equipment: Equipment, image: Tensor) -> Find:
    """What is found with given options: as `restore` does, but once for all that look for the same."""
    if arguments.landmarks:
        faces = FaceFile(arguments.landmarks)(arguments.input)
        return lambda options: faces

    @cache
    def search(threshold: float, min_face: int, max_tilt: int) -> list[Face]:
        options = RestoreOptions(threshold=threshold, min_face=min_face, max_tilt=max_tilt)
        return equipment.restorer.find_faces(image, options)

    return lambda options: search(options.threshold, options.min_face, options.max_tilt)


def _shown(number: int | None, faces: Sequence[Face]) -> int:
    if not faces:
        raise UnsupportedImageError("no face was found; wanted a photo with one")
    if number is None:
        return max(range(len(faces)), key=lambda n: faces[n].size)
    if number not in range(len(faces)):
        raise InvalidOptionError(f"--face is {number}; wanted 0 to {len(faces) - 1}")
    return number
