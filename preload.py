"""Command-line flags of the AUTOMATIC1111 family; the host calls `preload` before it reads its arguments."""

from __future__ import annotations

import argparse
from pathlib import Path


def preload(parser: argparse.ArgumentParser) -> None:
    try:
        from modules.paths_internal import models_path, normalized_filepath
    except ImportError:  # SD.Next: models/GPEN it is
        return
    parser.add_argument(
        "--gpen-models-path",
        type=normalized_filepath,
        default=str(Path(models_path) / "GPEN"),
        help="folder with the GPEN networks and their face detector",
    )
