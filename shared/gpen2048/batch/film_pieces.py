"""A piece of a film, restored and encoded: what every engine runs."""

from __future__ import annotations

import tempfile
from collections import deque
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from ..errors import UnsupportedFilmError
from ..films.frames import Shown, noted
from ..films.opening import open_film
from ..films.reading import Film
from ..geometry.enlarging import Background
from ..options import RestoreOptions
from ..restorer import FaceRestorer
from ..sequence import CONTEXT_AFTER, restore_sequence
from ..task import Progress
from .film_cutting import with_context
from .film_joining import NOTHING, PieceWriter
from .pictures import FilmPiece, Restored


def restore_piece(
    piece: FilmPiece,
    restorer: FaceRestorer,
    options: RestoreOptions,
    device: torch.device,
    *,
    background: Background | None,
    region: Tensor | None,
    on_progress: Progress,
) -> Restored:
    """The encoded frames of `piece`, the same whatever other pieces the film is cut into; NOTHING where it has none.

    `background` and `region` are restore_sequence's.
    """
    with open_film(_present(piece), device) as film, tempfile.TemporaryDirectory() as folder:
        scale = _first_scale(film, restorer, options, region) if options.scale == "auto" else float(options.scale)
        taken, context = with_context(film, piece.span)
        shown: Shown = deque()
        faces = restored = frames = 0
        results = restore_sequence(
            noted(taken, shown),
            restorer,
            options,
            scale=scale,
            background=background,
            region=region,
            context=context,
            on_progress=on_progress,
        )
        target = Path(folder) / f"piece{piece.suffix}"
        with PieceWriter(target, film, codec=piece.codec, quality=piece.quality) as writer:
            for result in results:
                if not frames:
                    _skip(shown, context[0])
                writer.write(result.image, *shown.popleft())
                frames += 1
                faces += len(result.faces)
                restored += sum(face.restored for face in result.faces)
        note = "; ".join(film.problems)
        encoded = writer.encoded or NOTHING  # all of it damaged or of another size, as the note says
        return Restored(encoded.to_bytes(), faces, restored, frames=frames, note=note)


def _skip(shown: Shown, count: int) -> None:
    for _ in range(count):
        shown.popleft()


def _present(piece: FilmPiece) -> Path:
    path = Path(piece.path)
    if not path.is_file() or path.stat().st_size != piece.size:
        raise UnsupportedFilmError(
            f"{path}: not the film of {piece.size} bytes that it was; wanted one that stays as it is during the run, "
            "in a folder that all workers share"
        )
    return path


def _first_scale(film: Film, restorer: FaceRestorer, options: RestoreOptions, region: Tensor | None) -> float:
    """The scale that restore_sequence chooses for the film as a whole, which it does by its first frames."""
    frames = (frame.pixels for frame in islice(film.frames(), CONTEXT_AFTER + 1))
    return next(restore_sequence(frames, restorer, options, region=region)).scale
