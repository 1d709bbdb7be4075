"""The host as this extension sees it: the only module here that imports the webui's own, and bears with its forks."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable
from numbers import Real
from pathlib import Path
from types import TracebackType
from typing import Any

from modules import devices, errors, paths, script_callbacks, scripts, scripts_postprocessing, shared, ui_components
from modules.call_queue import queue_lock

__all__ = [
    "Stopped",
    "Watch",
    "devices",
    "flag",
    "free_memory",
    "has_face_restorers",
    "known_hash",
    "mentions_word",
    "option",
    "queue_lock",
    "report",
    "script_callbacks",
    "scripts",
    "scripts_postprocessing",
    "shared",
    "short_hash",
    "show_progress",
    "show_warnings",
    "tell",
    "ui_components",
    "weight_folders",
]

SHORT_HASH = 10  # digits, as the host shows of checkpoints

log = logging.getLogger(__name__)


class Stopped(Exception):  # noqa: N818  no error: the user wants it
    """The user pressed Interrupt or Skip."""


class Watch:
    """Shows what is being done in the host's progress text, and raises Stopped between stages when the user wants out.

    A context, so that the text before comes back; called as gpen2048's `on_progress`.
    """

    def __enter__(self) -> Watch:
        self._before = getattr(shared.state, "textinfo", None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shared.state.textinfo = self._before

    def __call__(self, done: int, total: int, what: str) -> None:
        show_progress(f"GPEN face {min(done + 1, total)}/{total}" if total else f"GPEN: {what}")


def show_progress(text: str) -> None:
    """Puts `text` into the host's progress line; raises Stopped when the user wants out."""
    if shared.state.interrupted or shared.state.skipped:
        raise Stopped
    shared.state.textinfo = text


def tell(text: str) -> None:
    """A line in the console, which is where the host's users look for what it does; what it cannot show becomes "?"."""
    if _has_own_log():
        errors.log.info(f"GPEN: {text}")
        return
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(f"GPEN: {text}".encode(encoding, "replace").decode(encoding))


def has_face_restorers() -> bool:
    """Whether the host has a list of face restorers; SD.Next has none."""
    return hasattr(shared, "face_restorers")


def option(key: str, default: Any = None) -> Any:
    """A setting; `default` where the host does not know it or holds None, or what is not of that kind.

    The host's API and its file of settings take anything.
    """
    value = getattr(shared.opts, key, None)
    kind = Real if isinstance(default, Real) else type(default)
    return value if value is not None and (default is None or isinstance(value, kind)) else default


def flag(name: str) -> Any:
    """A command-line flag; None where this host has no such flag."""
    return getattr(shared.cmd_opts, name, None)


def mentions_word(name: str, *words: str) -> bool:
    """Whether the list flag `name` holds one of `words`."""
    return any(word in (flag(name) or ()) for word in words)


def weight_folders() -> list[Path]:
    """Where weights are looked for: the GPEN folder first, then GFPGAN's, where the host keeps its face detector."""
    models = Path(getattr(paths, "models_path", "models"))
    return [
        Path(flag("gpen_models_path") or models / "GPEN"),
        Path(flag("gfpgan_models_path") or models / "GFPGAN"),
    ]


def short_hash(path: Path) -> str | None:
    """The beginning of the file's SHA-256, which the host then remembers; None under --no-hashing, or if that fails."""
    return _hash(lambda: _hashes().sha256(str(path), _hash_title(path)))


def known_hash(path: Path) -> str | None:
    """As `short_hash`, if the host remembers it."""
    return _hash(lambda: _hashes().sha256_from_cache(str(path), _hash_title(path)))


def _hashes() -> Any:
    from modules import hashes

    return hashes


def _hash_title(path: Path) -> str:
    """What the host remembers a hash by, which only looks whether a file has become younger."""
    stat = path.stat()
    return f"gpen/{path.name}/{stat.st_size}/{stat.st_mtime_ns}"


def _hash(read: Callable[[], str | None]) -> str | None:
    try:
        sha256 = read()
    except Exception as error:  # the cache is the host's, in a database that may be locked or not writable
        log.warning("the host gives no hash: %s", error)
        return None
    return sha256[:SHORT_HASH] if sha256 else None


def report(message: str, *, exc_info: bool = False) -> None:
    """Shows an error in the console in the host's manner, and in its system information where it has one."""
    if _has_own_log():
        errors.log.error(message, exc_info=exc_info)
    else:
        errors.report(message, exc_info=exc_info)


class _ToHost(logging.Handler):
    """Passes records on to the host's own logger."""

    def emit(self, record: logging.LogRecord) -> None:
        errors.log.handle(record)


def show_warnings() -> None:
    """Lets SD.Next show this extension's warnings, of which it shows none by itself: its own logger is apart."""
    ours = logging.getLogger(__name__.partition(".")[0])
    if _has_own_log() and not any(isinstance(handler, _ToHost) for handler in ours.handlers):
        ours.setLevel(logging.WARNING)
        ours.addHandler(_ToHost())


def _has_own_log() -> bool:
    """Whether the host shows no loggers but one of its own (SD.Next), and has no `report`."""
    return not hasattr(errors, "report")


def free_memory(*, force: bool = False) -> None:
    """Gives back what the device's allocator keeps for later. SD.Next does so only if much is kept, or by `force`."""
    known = "force" in inspect.signature(devices.torch_gc).parameters
    devices.torch_gc(**({"force": True} if force and known else {}))
