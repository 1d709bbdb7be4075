"""Flags of `gpen2048 batch` beside those that it shares with `restore`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import InvalidOptionError
from ..films.writing import CODECS, QUALITY, WORST
from ..images import QUALITY as PICTURE_QUALITY
from ..images import check_quality
from .flags import named_path
from .loading import check_upscaler

DESCRIPTION = """Restores pictures and films of any number into DEST, under the names they have. What is done is on
record in DEST/manifest.jsonl: after a kill, or with new sources, the same command does what is missing, changed or
failed, and nothing twice. Exit code 0: all sources are restored whole; 1: some have failed or are damaged, and are
listed, or --retry-failed has left some to do; 130: Ctrl-C."""
IN_FLIGHT = 4  # one picture in the network, one being read, one pasted, one encoded
CHUNK = 4
WORKER_CORES = 4
PIECE = 240  # ten seconds, beside which the frames around it are a seventh more to look at


def _positive(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is too few; wanted at least 1")
    return int(text)


NUMBER: dict[str, Any] = {"type": _positive, "metavar": "N"}


def add_batch_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="folders with all below, files, patterns, @LIST")
    parser.add_argument("destination", type=named_path, metavar="DEST", help="the folder to write to")
    parser.add_argument("--retry-failed", action="store_true", help="do only what failed in an earlier run")
    parser.add_argument("--checksum", action="store_true", help="tell changed sources by content, not by time and size")
    parser.add_argument("--landmarks", type=Path, metavar="FILE.json", help="faces to restore, instead of a detector's")
    parser.add_argument("--region", type=Path, metavar="FILE", help="picture that is bright where faces are restored")
    help = f"of JPEG and WebP (default {PICTURE_QUALITY})"
    parser.add_argument("--quality", type=int, default=PICTURE_QUALITY, metavar="1-100", help=help)
    parser.add_argument("--codec", default="h264", choices=tuple(CODECS), help="of films (default h264)")
    parser.add_argument(
        "--crf", type=int, default=QUALITY, metavar=f"0-{WORST}", help="of films: 0 best, 16 by default"
    )
    parser.add_argument(
        "--piece", help=f"frames of a film restored together at least (default {PIECE})", default=PIECE, **NUMBER
    )
    _add_engine_flags(parser)


def _add_engine_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("where to restore")
    group.add_argument("--engine", choices=("local", "ray"), default="local", help="this process (default), or Ray")
    group.add_argument("--address", help="of a Ray cluster: auto or ray://HOST:10001 (default: Ray on this machine)")
    group.add_argument("--workers", help="at most so many (default: all there is room for)", **NUMBER)
    group.add_argument(
        "--worker-cores", help=f"CPUs of a worker without GPU (default {WORKER_CORES})", default=WORKER_CORES, **NUMBER
    )
    group.add_argument(
        "--in-flight",
        help=f"pictures, or chunks, under way at once on a device (default {IN_FLIGHT})",
        default=IN_FLIGHT,
        **NUMBER,
    )
    group.add_argument(
        "--chunk", help=f"pictures sent to a worker of Ray together (default {CHUNK})", default=CHUNK, **NUMBER
    )
    group.add_argument(
        "--face-batch", help="faces that run through the network at once (default 1)", default=1, **NUMBER
    )


def check_batch_flags(arguments: argparse.Namespace) -> None:
    """Raises InvalidOptionError for what would else go wrong with every file, or be passed over in silence."""
    check_quality(arguments.quality)
    check_upscaler(arguments)
    if not 0 <= arguments.crf <= WORST:
        raise InvalidOptionError(f"crf is {arguments.crf}; wanted 0 (without loss) to {WORST}")
    if arguments.destination.is_file():
        raise InvalidOptionError(f"{arguments.destination} is a file; wanted a folder to write to, after the sources")
    for flag in ("address", "workers"):
        if arguments.engine == "local" and getattr(arguments, flag) is not None:
            raise InvalidOptionError(f"--{flag} is of --engine ray; wanted both or neither")
