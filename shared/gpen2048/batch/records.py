"""Lines of a manifest: what became of each source, and whether a line is one of ours."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass, fields
from operator import eq
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Record:
    """What became of one source. Hashes are SHA-256, in hexadecimal."""

    output: str  # below the destination, with "/" between folders
    source: str  # in full, as the next run may begin in another folder; older records have it as it was typed
    source_hash: str
    source_size: int  # bytes
    source_time: int  # of its last change, nanoseconds since 1970
    options_hash: str
    network_hash: str
    part: str = ""  # the file name under which the output lay until it was on record
    output_size: int = 0  # bytes
    faces: int = 0  # found
    restored: int = 0
    seconds: float = 0.0
    error: str = ""  # why there is no output
    note: str = ""  # what is wrong with the output all the same
    remark: str = ""  # what was done otherwise than asked
    frames: int = 0  # of a film, or of a piece of one
    film: str = ""  # the output that a piece is for
    file: str = ""  # the one that was read, where links led to it


FIELDS = {field.name: (int, float) if field.type in ("int", "float") else (str,) for field in fields(Record)}
NOTED = ("started", "options_hash", "options")  # of a run, in the line before its records
BEGINNINGS = (b'{"output": "', b'{"started": "')  # of our lines, which may have been cut off
NAME_IN_LINE = re.compile(rb'"(\w+)": ')


def one_line(error: BaseException) -> str:
    """What is wrong, as records have it."""
    return " ".join(str(error).split()) or type(error).__name__


def read_record(content: dict[str, Any]) -> Record:
    """Fields that this version does not know are left out; hashes that many records share are held once."""
    known = {name: content[name] for name in FIELDS if name in content}
    if any(not isinstance(value, FIELDS[name]) or "\0" in str(value) for name, value in known.items()):
        raise ValueError("not as we write it")
    for name in ("options_hash", "network_hash"):
        known[name] = sys.intern(known[name])
    return Record(**known)


def has_records(path: Path) -> bool:
    """Whether a batch has written to the file `path`, or begun to."""
    with path.open("rb") as lines:
        return any(_is_ours(line) for line in lines)


def _is_ours(line: bytes) -> bool:
    try:
        content: dict[str, Any] = json.loads(line)
        return bool(content["options_hash"]) and ("started" in content or bool(read_record(content)))
    except json.JSONDecodeError:
        return not line.endswith(b"\n") and _is_begun(line)
    except (ValueError, TypeError, KeyError, RecursionError):
        return False


def _is_begun(line: bytes) -> bool:
    """Whether a line that was cut off would have become one of ours, by its beginning and the names in it."""
    is_alike = any(beginning.startswith(line[: len(beginning)]) for beginning in BEGINNINGS)
    names = [name.decode() for name in NAME_IN_LINE.findall(line)]
    return is_alike and any(all(map(eq, names, ours)) for ours in (FIELDS, NOTED))
