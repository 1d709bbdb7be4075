"""What a PNG says beside its pixels and is worth keeping: texts, such as the prompt it was made from, and its gamma."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
TEXTS = (b"tEXt", b"zTXt", b"iTXt")
COLOURS = (b"gAMA", b"cHRM", b"sRGB", b"cICP")  # of no account beside a colour profile
PROFILE = b"iCCP"
# Texts that repeat what EXIF says, the orientation before it was applied among it.
STALE = (b"XML:com.adobe.xmp", b"Raw profile type")
END = b"IEND"


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk with its length and checksum (PNG, third edition, 5.3)."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def kept_chunks(data: bytes) -> bytes:
    """The chunks of the PNG file `data` that hold for any copy of the picture; those with a wrong checksum are none."""
    found = list(_chunks(data))
    kinds = TEXTS if any(kind == PROFILE for kind, _ in found) else (*TEXTS, *COLOURS)
    return b"".join(chunk(kind, content) for kind, content in found if kind in kinds and not content.startswith(STALE))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(SIGNATURE)
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        kind, content = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        if kind == END:
            return
        place += 12 + length
        if kind in (*TEXTS, *COLOURS, PROFILE) and data[place - 4 : place] == chunk(kind, content)[-4:]:
            yield kind, content
