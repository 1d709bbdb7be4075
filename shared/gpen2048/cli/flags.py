"""Command-line flags generated from RestoreOptions."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..options import OptionInfo, RestoreOptions, describe_options

HIDDEN = ("max_crops",)  # the command keeps as many as --compare shows


def named_path(text: str) -> Path:
    """For argparse: a path, but not the empty one of a variable that was not set, which Python takes for "."."""
    if not text:
        raise argparse.ArgumentTypeError("an empty name; wanted a file or a folder")
    return Path(text)


def add_option_flags(parser: argparse.ArgumentParser) -> None:
    """One flag for each option, in a group of its own."""
    group = parser.add_argument_group("how to restore")
    for info in shown_options():
        group.add_argument(
            "--" + info.name.replace("_", "-"),
            dest=info.name,
            type=option_reader(info),
            default=info.default,
            metavar=_range(info),
            help=f"{info.help} (default {info.default})",
        )


def read_option_flags(arguments: argparse.Namespace) -> RestoreOptions:
    """The RestoreOptions given on the command line; InvalidOptionError when one is out of range."""
    return RestoreOptions(**{info.name: getattr(arguments, info.name) for info in shown_options()})


def shown_options() -> list[OptionInfo]:
    """Those that the user may set."""
    return [info for info in describe_options() if info.name not in HIDDEN]


def option_reader(info: OptionInfo) -> Callable[[str], Any]:
    """Reads a choice by its spelling, a number as the default's type, anything else as text."""
    by_name = {str(choice): choice for choice in info.choices}
    number = float if isinstance(info.default, float) else int
    return lambda text: by_name.get(text, text) if info.minimum is None else number(text)


def _range(info: OptionInfo) -> str:
    if info.choices:
        return "|".join(str(choice) for choice in info.choices)
    return "FACES" if info.minimum is None else f"{info.minimum:g}-{info.maximum:g}"
