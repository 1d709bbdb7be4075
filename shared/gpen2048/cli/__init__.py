"""The command `gpen2048`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from io import TextIOWrapper
from pathlib import Path

from ..errors import GpenError, is_out_of_memory
from . import batching, benching, comparing, inspecting, passing, restoring, weights
from .interrupting import Interrupts, Terminated, leave
from .reporting import told

FAILED = 1
INTERRUPTED, UNREAD, TERMINATED = 130, 141, 143  # 128 + SIGINT, SIGPIPE and SIGTERM, as shells have it


def main(arguments: Sequence[str] | None = None, *, is_program: bool = False) -> int:
    """Runs one command and returns the exit code: 0 done, 1 failed, 2 wrong usage, 128 + a signal that ended it.

    A second signal ends the process where it `is_program`, a program of its own.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.errors == "strict":  # a name it cannot show is no failure
            stream.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    interrupts = Interrupts()
    with interrupts.handled(is_program=is_program):
        code = _run(options, interrupts)
        if is_program and interrupts.met > 1:
            leave(code)
    return code


def _run(options: argparse.Namespace, interrupts: Interrupts) -> int:
    try:
        with interrupts.met_in_work():
            code = int(options.run(options))
            if sys.stdout is not None:  # pyright: ignore[reportUnnecessaryComparison]  as under pythonw
                sys.stdout.flush()
        return code
    except Terminated:
        return TERMINATED
    except KeyboardInterrupt:
        print("gpen2048: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # whoever read the output has had enough
        _drop_output()
        return UNREAD
    except Exception as error:
        if not isinstance(error, (GpenError, OSError, ValueError)) and not is_out_of_memory(error):
            raise
        print(f"gpen2048: {told(error)}", file=sys.stderr)
        return FAILED


def _drop_output() -> None:
    """What is left of it goes nowhere, lest Python complain of it at its end."""
    with suppress(OSError, ValueError), Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


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
