"""Fetching a missing weight file on first use, if the user has switched that on."""

from __future__ import annotations

from pathlib import Path

from ..shared.gpen2048.catalogue import WeightFile, find_entry
from . import host

SETTING = "gpen_fetch"
TITLE = "Download missing GPEN files on first use"


def fetch_missing(name: str) -> Path | None:
    """The catalogue's file called `name`, brought into the GPEN folder; None if the user has not agreed, or none is.

    Raises gpen2048's DownloadError, and host.Stopped when the user wants out.
    """
    entry = find_entry(name)
    if entry is None or not host.option(SETTING, False):
        return None
    from ..shared.gpen2048.fetching import fetch

    host.tell(entry.licence)
    return fetch(entry, host.weight_folders()[0], tell=lambda done, total: _show(entry, done, total), note=host.tell)


def where_from(name: str) -> str:
    """What to add to an error about a missing file: its address, and the setting."""
    entry = find_entry(name)
    return f" (from {entry.sources[0]}), or switch on Settings > GPEN-2048 > {TITLE}" if entry else ""


def _show(entry: WeightFile, done: int, total: int | None) -> None:
    share = f"{100 * done // total} %" if total else f"{done >> 20} MiB"
    host.show_progress(f"GPEN: downloading {entry.file}, {share}")
