"""The command `gpen2048`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from io import TextIOWrapper

from ..errors import GpenError, is_out_of_memory
from . import batching, benching, comparing, inspecting, passing, restoring, weights
from .reporting import told

FAILED = 1
WRONG_USAGE = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.errors == "strict":  # a name it cannot show is no failure
            stream.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except KeyboardInterrupt:
        print("gpen2048: interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if not isinstance(error, (GpenError, OSError, ValueError)) and not is_out_of_memory(error):
            raise
        print(f"gpen2048: {told(error)}", file=sys.stderr)
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("gpen2048", description="Restore the faces in photos with GPEN-BFR-2048.")
    parser.add_argument("--version", action="version", version=f"gpen2048 {_version()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (restoring, batching, comparing, weights, inspecting, passing, benching):
        command.add_to(commands)
    return parser


def _version() -> str:
    try:
        return version("gpen2048")
    except PackageNotFoundError:
        return "of unknown version, as it is not installed"
