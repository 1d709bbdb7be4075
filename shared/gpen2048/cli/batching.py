"""`gpen2048 batch`: folders and films of any length, with what is done on record."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from torch import Tensor

from ..batch.claims import refuse_others, refuse_unknown
from ..batch.engine_local import LocalEngine
from ..batch.engine_ray import RayEngine
from ..batch.film_folders import remove_leftovers
from ..batch.manifest import Manifest
from ..batch.recipe import Recipe, options_hash, what_to_do
from ..batch.restoring import PictureRestorer
from ..batch.running import Engine, run
from ..batch.sources import Item, find_items
from ..errors import InvalidOptionError
from ..films.writing import check_coding
from ..options import RestoreOptions
from ..weight_files.verification import file_hash
from .batch_flags import DESCRIPTION, add_batch_flags, check_batch_flags
from .batch_report import BatchReport
from .equipment import Equipment
from .flags import add_option_flags, read_option_flags
from .landmarks import FaceFile
from .loading import add_equipment_flags, find_weights, load_equipment, read_region
from .sources import refuse_inputs


def add_to(commands: Any) -> None:
    what = "restore folders of any size, resumably, here or on a cluster"
    parser = commands.add_parser("batch", help=what, description=DESCRIPTION)
    add_batch_flags(parser)
    add_equipment_flags(parser)
    add_option_flags(parser)
    parser.set_defaults(run=run_batch)


@dataclass(frozen=True)
class Build:
    """Makes the restorer of one device, here or on a worker, from weight files wherever they lie there."""

    arguments: argparse.Namespace
    options: RestoreOptions
    region: Tensor | None = None

    def __call__(self, files: Mapping[str, Path]) -> PictureRestorer:
        return self.restorer(self.equipment(files))

    def equipment(self, files: Mapping[str, Path]) -> Equipment:
        arguments = argparse.Namespace(**{**vars(self.arguments), **files})
        arguments.weights = next((path.parent for path in files.values()), arguments.weights)
        return load_equipment(arguments, self.options)

    def restorer(self, equipment: Equipment) -> PictureRestorer:
        quality, batch = self.arguments.quality, self.arguments.face_batch
        return PictureRestorer(
            equipment.restorer,
            equipment.device,
            self.options,
            quality=quality,
            batch=batch,
            background=equipment.upscaler,
            region=self.region,
        )


def run_batch(arguments: argparse.Namespace) -> int:
    """Does what is missing, changed or failed. 0 when in the end every source has been restored whole, else 1.

    So it is 1, too, when --retry-failed has left some that are missing or changed.
    """
    options = read_option_flags(arguments)
    check_batch_flags(arguments)
    items = find_items(arguments.sources, arguments.destination)
    _check_films(items, arguments)
    refuse_unknown(items, arguments.destination)
    read = [Path(name) for name in (arguments.region, arguments.landmarks) if name]
    refuse_inputs((arguments.destination / item.output for item in items if read), read)
    files = find_weights(arguments, options)
    region = read_region(arguments)
    facts = _facts(arguments, options, files)
    find_faces = FaceFile(arguments.landmarks) if arguments.landmarks else None
    network_hash = _hash_or(files.get("network"), "demo")
    recipe = Recipe(options_hash(facts), network_hash, find_faces, arguments.codec, arguments.crf, arguments.piece)
    with Manifest(arguments.destination, (item.output for item in items)) as manifest:
        refuse_others(items, manifest)
        remove_leftovers(manifest)
        found = list(what_to_do(items, manifest, recipe, checksum=arguments.checksum))
        todo = [item for item, why in found if why == "failed" or not arguments.retry_failed]
        with BatchReport(items, todo, manifest, left=len(found) - len(todo)) as report:
            if todo:
                manifest.note({"started": _now(), "options_hash": recipe.options_hash, "options": facts})
                engine = _engine(arguments, Build(arguments, options, region), files)
                for record in run(todo, engine, manifest, recipe):
                    report.add(record, engine.busy)
    return 0 if report.is_whole else 1


def _check_films(items: Sequence[Item], arguments: argparse.Namespace) -> None:
    """Raises InvalidOptionError or UnsupportedFilmError for flags that do not go with a film among the items."""
    for item in items:
        if item.is_film and arguments.landmarks:
            what = f"--landmarks is for single pictures; wanted none with films, as {item.source} is one"
            raise InvalidOptionError(what)
        if item.is_film:
            check_coding(arguments.destination / item.output, arguments.codec, arguments.crf)


def _facts(arguments: argparse.Namespace, options: RestoreOptions, files: Mapping[str, Path]) -> dict[str, Any]:
    """What a result depends on besides source and network."""
    asked = {name: value for name, value in asdict(options).items() if name != "max_crops"}
    return {
        **asked,
        "quality": arguments.quality,
        "codec": arguments.codec,
        "crf": arguments.crf,
        "precision": arguments.precision,
        "detector": _hash_or(files.get("detector"), "lbp"),
        "parser": _hash_or(files.get("parser"), ""),
        "upscaler": _hash_or(files.get("upscaler"), ""),
        "landmarks": _hash_or(arguments.landmarks, ""),
        "region": _hash_or(arguments.region, ""),
    }


def _hash_or(path: Path | None, otherwise: str) -> str:
    return file_hash(path) if path else otherwise


def _engine(arguments: argparse.Namespace, build: Build, files: Mapping[str, Path]) -> Engine:
    if arguments.engine == "local":
        equipment = build.equipment(files)
        print("\n".join(equipment.described))
        return LocalEngine(build.restorer(equipment), arguments.in_flight)
    engine = RayEngine(
        build,
        files,
        in_flight=arguments.in_flight,
        chunk=arguments.chunk,
        address=arguments.address,
        cores=arguments.worker_cores,
        workers=arguments.workers,
    )
    print(engine.places.described)
    return engine


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
