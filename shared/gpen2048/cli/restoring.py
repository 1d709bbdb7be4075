"""`gpen2048 restore`: photos in, restored photos out."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from ..images import QUALITY, Picture, read_image, write_image
from ..options import RestoreOptions
from ..restoration import Restoration
from ..sheets.comparison import MOST_FACES, compare_sheet
from ..task import Request
from .equipment import Equipment
from .flags import add_option_flags, named_path, read_option_flags
from .landmarks import FaceFile
from .loading import add_equipment_flags, check_upscaler, load_equipment, read_region
from .outputs import check_outputs, refuse_loss
from .progress import FaceBar
from .reporting import picture_report, summary_line, told, write_json
from .sequencing import add_sequence_flags, is_sequence, restore_sequences
from .sources import Job, plan


def add_to(commands: Any) -> None:
    parser = commands.add_parser("restore", help="restore the faces of photos and films")
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="pictures or films, folders of either, or patterns")
    parser.add_argument("-o", "--output", type=named_path, required=True, help="a picture file, or a folder")
    parser.add_argument("--overwrite", action="store_true", help="allow an input to be replaced")
    parser.add_argument("--landmarks", type=Path, metavar="FILE.json", help="faces to restore, instead of a detector's")
    parser.add_argument("--region", type=Path, metavar="FILE", help="picture that is bright where faces are restored")
    parser.add_argument("--save-mask", type=Path, metavar="FILE.png", help="write where the picture was changed")
    parser.add_argument("--report", type=Path, metavar="FILE.json", help="write what was done to every face")
    parser.add_argument("--compare", type=Path, metavar="FILE.png", help="write a labelled sheet of before and after")
    parser.add_argument("--quality", type=int, default=QUALITY, metavar="1-100", help="of JPEG and WebP (default 95)")
    add_equipment_flags(parser)
    add_option_flags(parser)
    add_sequence_flags(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Restores every input; a bad one is named and does not stop the others. 0 when all were restored, else 1."""
    options = replace(read_option_flags(arguments), max_crops=MOST_FACES if arguments.compare else 0)
    check_upscaler(arguments)
    if is_sequence(arguments):
        return restore_sequences(arguments, options)
    jobs = plan(arguments.inputs, arguments.output, overwrite=arguments.overwrite)
    check_outputs(arguments, jobs)
    region = read_region(arguments)
    find_faces = FaceFile(arguments.landmarks) if arguments.landmarks else None
    equipment = load_equipment(arguments, options)
    for line in equipment.described:
        print(line)
    reports: list[dict[str, Any]] = []
    try:
        for job in jobs:
            restore = partial(_restore_file, job, equipment, options, arguments, region, find_faces)
            report = _reported(job, equipment, restore)
            if report is not None:
                reports.append(report)
                print(summary_line(report))
    finally:  # also of what was done before the user stopped it
        if arguments.report:
            write_json(arguments.report, {**equipment.facts, "pictures": reports})
    return 1 if len(reports) < len(jobs) else 0


def _reported(job: Job, equipment: Equipment, restore: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    """What `restore` says it did; None, and a line on stderr, when it failed."""
    try:
        report, note = equipment.in_memory(restore)
    except Exception as error:  # whatever one picture does to any library, the others are restored
        print(f"gpen2048: {job.source}: {told(error).removeprefix(f'{job.source}: ')}", file=sys.stderr)
        return None
    return {**report, "note": note}


def _restore_file(
    job: Job,
    equipment: Equipment,
    options: RestoreOptions,
    arguments: argparse.Namespace,
    region: Tensor | None,
    find_faces: FaceFile | None,
) -> dict[str, Any]:
    started = time.perf_counter()
    picture = read_image(job.source, equipment.device)
    refuse_loss(job, picture)
    faces = find_faces(job.source) if find_faces else None
    with FaceBar(job.source.name) as bar:
        request = Request(
            picture.pixels,
            options,
            faces,
            background=equipment.upscaler,
            on_progress=bar.update,
            region=region,
            in_place=not arguments.compare,
        )
        result = next(equipment.restorer.each([request]))
    if arguments.save_mask:
        write_image(arguments.save_mask, Picture(result.mask.expand(3, -1, -1)))
    report = picture_report(job, result, options, time.perf_counter() - started)
    if arguments.compare:
        sheet = compare_sheet(picture.pixels.cpu(), result.image.cpu(), result.crops, _captions(result))
        write_image(arguments.compare, Picture(sheet))
    # The last, so that nothing is done once more, for want of memory, to a picture that has been replaced.
    write_image(job.target, picture.with_pixels(result.image), quality=arguments.quality)
    return report


def _captions(result: Restoration) -> list[str]:
    restored = [(number, face) for number, face in enumerate(result.faces) if face.restored]
    captions = [f"face {number}, {face.size:.0f} px, strength {face.strength:g}" for number, face in restored]
    return captions[: len(result.crops)]
