"""Where the files of a zip archive lie, for archives whose files are mapped into memory and hence not compressed."""

from __future__ import annotations

import mmap
import struct
from itertools import pairwise
from typing import NamedTuple

from ..errors import CheckpointError

MOST_ENTRIES = 20_000


class Entry(NamedTuple):
    """A file in an archive: its bytes from `start` to `stop`."""

    start: int
    stop: int
    checksum: int


def directory(mapped: mmap.mmap) -> dict[str, Entry]:
    """Where the files of a zip archive lie, all uncompressed, each within the file and none over another."""
    position, size, count = _directory_place(mapped)
    if count > MOST_ENTRIES or position + size > len(mapped):
        raise CheckpointError(f"damaged or truncated, not a whole PyTorch file (directory of {count} entries)")
    entries: dict[str, Entry] = {}
    for _ in range(count):
        header = struct.unpack_from("<4s2x2x2xH4xIIIHHH8xI", mapped, position)
        signature, method, checksum, packed, length, name, extra, comment, start = header
        label = mapped[position + 46 : position + 46 + name].decode()
        if signature != b"PK\x01\x02" or label in entries:
            raise CheckpointError(f"damaged, not a whole PyTorch file (directory entry {label[:40]!r})")
        if method or packed != length:
            raise CheckpointError(f"refused, {label[:40]!r} is compressed, which torch.save never does")
        entries[label] = _entry(mapped, start, length, checksum)
        position += 46 + name + extra + comment
    _refuse_overlaps(list(entries.values()))
    return entries


def _directory_place(mapped: mmap.mmap) -> tuple[int, int, int]:
    """Position, size and number of entries of the directory, as the archive's last record has it."""
    end = mapped.rfind(b"PK\x05\x06", max(0, len(mapped) - 65557))
    if end < 0:
        raise CheckpointError("damaged or truncated, not a whole PyTorch file (no directory at its end)")
    count, size, position = struct.unpack_from("<10xHII", mapped, end)
    if position == 0xFFFFFFFF:
        (record,) = struct.unpack_from("<8xQ", mapped, end - 20)
        count, size, position = struct.unpack_from("<32xQQQ", mapped, record)
    return position, size, count


def _entry(mapped: mmap.mmap, position: int, length: int, checksum: int) -> Entry:
    signature, name, extra = struct.unpack_from("<4s22xHH", mapped, position)
    start = position + 30 + name + extra
    if signature != b"PK\x03\x04" or start + length > len(mapped):
        raise CheckpointError("damaged or truncated, not a whole PyTorch file (an entry lies outside it)")
    return Entry(start, start + length, checksum)


def _refuse_overlaps(entries: list[Entry]) -> None:
    ordered = sorted(entry for entry in entries if entry.stop > entry.start)
    if any(after.start < before.stop for before, after in pairwise(ordered)):
        raise CheckpointError("refused, entries of the archive lie over each other")
