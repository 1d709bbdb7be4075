"""The command `gpen2048`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from io import TextIOWrapper
from pathlib import Path
from typing import NoReturn

from ..errors import GpenError, is_out_of_memory
from . import batching, benching, comparing, inspecting, passing, restoring, weights
from .reporting import told

FAILED = 1
INTERRUPTED, UNREAD, TERMINATED = 130, 141, 143  # 128 + SIGINT, SIGPIPE and SIGTERM, as shells have it


class Terminated(KeyboardInterrupt):
    """Raised where SIGTERM met the program."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code: 0 done, 1 failed, 2 wrong usage, 128 + a signal that ended it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.errors == "strict":  # a name it cannot show is no failure
            stream.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    try:
        with _terminated_as_interrupted():
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


@contextmanager
def _terminated_as_interrupted() -> Generator[None]:
    """SIGTERM, as from a service's manager, ends the work as Ctrl-C does, so that nothing half written is left."""

    def end(*_: object) -> NoReturn:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():  # only there can signals be met
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


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
