"""`gpen2048 restore` for films, and with --sequence for numbered pictures: faces are followed from frame to frame."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import InvalidOptionError, UnsupportedFilmError
from ..films.opening import FILM_SUFFIXES, written_suffix
from ..films.restoring import FilmReport, restore_film
from ..films.writing import CODECS, CONTAINERS, QUALITY, WORST, check_coding
from ..options import RestoreOptions
from ..task import Progress
from .equipment import Equipment
from .frame_files import restore_frame_files
from .loading import load_equipment, read_region
from .outputs import check_outputs
from .progress import FaceBar
from .reporting import told, write_json
from .sources import PICTURES, Job, Kind, holds, plan

FILMS = Kind(lambda: FILM_SUFFIXES, tuple(CONTAINERS), otherwise=written_suffix)
OF_ONE_PICTURE = ("landmarks", "compare", "save_mask")  # flags


def add_sequence_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("films and sequences")
    group.add_argument("--sequence", action="store_true", help="the pictures are the numbered frames of one film")
    group.add_argument("--codec", default="h264", metavar="|".join(CODECS), help="of films (default h264)")
    group.add_argument("--crf", type=int, default=QUALITY, metavar=f"0-{WORST}", help="of films: 0 best, 16 by default")


def is_sequence(arguments: argparse.Namespace) -> bool:
    """Whether the inputs are frames that belong together: films, or pictures with --sequence.

    Raises InvalidOptionError for films among pictures, and for flags that sequences do not have.
    """
    films = [_is_film(name) for name in arguments.inputs]
    if any(films) and not all(films):
        raise InvalidOptionError("films and pictures in one command; wanted either")
    _tell_of_films_left_out(arguments.inputs)
    sequence = bool(arguments.sequence or any(films))
    for flag in OF_ONE_PICTURE:
        if sequence and getattr(arguments, flag):
            raise InvalidOptionError(
                f"--{flag.replace('_', '-')} is for single pictures; wanted none with films and --sequence"
            )
    return sequence


def _is_film(name: str) -> bool:
    """Whether an input is a film, or a folder or pattern of films without pictures."""
    return holds(name, FILMS) and not holds(name, PICTURES)


def _tell_of_films_left_out(names: Sequence[str]) -> None:
    for name in names:
        if holds(name, FILMS) and holds(name, PICTURES):
            what = "its films are left out; `gpen2048 batch` takes pictures and films"
            print(f"gpen2048: {name}: {what}", file=sys.stderr)


def restore_sequences(arguments: argparse.Namespace, options: RestoreOptions) -> int:
    """Restores every film, or the pictures as one. 0 when all were restored whole, else 1."""
    films = _is_film(arguments.inputs[0])
    if films and arguments.output.suffix.lower() in set(FILM_SUFFIXES) - set(CONTAINERS):
        raise UnsupportedFilmError(f"{arguments.output}: wanted a folder, or a name ending in {', '.join(CONTAINERS)}")
    if not films and arguments.output.suffix.lower() in {*FILM_SUFFIXES, *CONTAINERS} and not arguments.output.is_dir():
        raise UnsupportedFilmError(f"{arguments.output}: pictures stay pictures; wanted a folder to write them into")
    jobs = plan(arguments.inputs, arguments.output, overwrite=arguments.overwrite, kind=FILMS if films else PICTURES)
    check_outputs(arguments, jobs)
    for job in jobs if films else []:
        check_coding(job.target, arguments.codec, arguments.crf)
    equipment = load_equipment(arguments, options)
    for line in equipment.described:
        print(line)
    works = [_film(job, arguments, options, equipment) for job in jobs] if films else []
    works = works or [_pictures(jobs, arguments, options, equipment)]
    reports: list[dict[str, Any]] = []
    try:
        for work in works:
            reports.append(_reported(work, equipment))
    finally:  # also of what was done before the user stopped it
        if arguments.report:
            write_json(arguments.report, {**equipment.facts, "options": asdict(options), "films": reports})
    return 1 if any(report["problems"] for report in reports) else 0


@dataclass(frozen=True)
class _Work:
    """One film to restore."""

    source: Path
    target: Path
    restore: Callable[[Progress], FilmReport]


def _film(job: Job, arguments: argparse.Namespace, options: RestoreOptions, equipment: Equipment) -> _Work:
    how: dict[str, Any] = {"device": equipment.device, "codec": arguments.codec, "quality": arguments.crf}
    how |= {"background": equipment.upscaler, "region": read_region(arguments)}

    def restore(on_progress: Progress) -> FilmReport:
        return restore_film(job.source, job.target, equipment.restorer, options, on_progress=on_progress, **how)

    return _Work(job.source, job.target, restore)


def _pictures(
    jobs: Sequence[Job], arguments: argparse.Namespace, options: RestoreOptions, equipment: Equipment
) -> _Work:
    def restore(on_progress: Progress) -> FilmReport:
        return restore_frame_files(jobs, equipment, options, read_region(arguments), arguments.quality, on_progress)

    return _Work(jobs[0].source.parent, jobs[0].target.parent, restore)


def _reported(work: _Work, equipment: Equipment) -> dict[str, Any]:
    """JSON-ready facts about one film, told to the user as well; what went wrong is in "problems"."""
    started = time.perf_counter()
    try:
        with FaceBar(work.source.name, unit="frame") as bar:
            report, note = equipment.in_memory(partial(work.restore, bar.update))
            report.note = "; ".join(filter(None, (report.note, note)))
    except Exception as error:  # whatever one film does to any library, the others are restored
        report = FilmReport(problems=[told(error).removeprefix(f"{work.source}: ")])
    for problem in report.problems:
        print(f"gpen2048: {work.source}: {problem}", file=sys.stderr)
    seconds = time.perf_counter() - started
    if report.frames:
        rate = f"{seconds:.1f} s, {report.frames / seconds:.1f} frames a second"
        note = f"; {report.note}" if report.note else ""
        print(f"{work.source} -> {work.target}: {report.told}, scale {report.scale:g}, {rate}{note}")
    return {"input": str(work.source), "output": str(work.target), "seconds": round(seconds, 2), **asdict(report)}
