"""PyTorch's own files, .pth and .pt, mapped into memory: the zip archives of today and the pickles of before 2020.

The zip's checksums are checked, which torch does not do: a bit that turned on the way is noticed.
"""

from __future__ import annotations

import io
import math
import mmap
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ..errors import CheckpointError
from .archives import Entry, directory
from .unpickling import Storage, StoredTensor, read_pickle

LONGEST_PICKLE = 2 << 20  # bytes; the 2048 network's has 25 000
DEEPEST = 3  # dicts around the tensors
MOST_AXES = 8
MAGIC = 0x1950A86A20F9469CFC6C  # the first thing in a file that is no archive (torch.serialization.MAGIC_NUMBER)
Fetch = Callable[[Storage], Tensor]


def read_pytorch(path: Path) -> object:
    """What torch.save wrote: dicts with tensors, which are mapped from the file where it aligns them.

    Raises CheckpointError saying what is refused, damaged or missing.
    """
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        return _read_archive(mapped) if mapped[:2] == b"PK" else _read_sequence(mapped)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except Exception as error:  # whatever a damaged file leads to; nothing in it was run
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise CheckpointError(f"{path}: damaged or truncated, not a whole PyTorch file ({reason})") from error


def _read_archive(mapped: mmap.mmap) -> object:
    entries = directory(mapped)
    root = next(iter(entries)).split("/")[0]
    if any(name.startswith(f"{root}/code/") or name == f"{root}/constants.pkl" for name in entries):
        raise CheckpointError("refused, this is a TorchScript archive, which holds code; wanted a state dict")
    if f"{root}/byteorder" in entries and _contents(mapped, entries[f"{root}/byteorder"]) != b"little":
        raise CheckpointError("its numbers are stored big end first; wanted little end first")
    if f"{root}/data.pkl" not in entries:
        raise CheckpointError(f"an archive without {root}/data.pkl; wanted what torch.save writes")
    content = read_pickle(io.BytesIO(_contents(mapped, entries[f"{root}/data.pkl"])))

    def fetch(storage: Storage) -> Tensor:
        return _mapped_numbers(mapped, entries[f"{root}/data/{storage.key}"], storage)

    return _with_tensors(content, _remembering(fetch))


def _contents(mapped: mmap.mmap, entry: Entry) -> bytes:
    if entry.stop - entry.start > LONGEST_PICKLE:
        raise CheckpointError(f"refused, its pickle has {entry.stop - entry.start} bytes; at most {LONGEST_PICKLE}")
    contents = mapped[entry.start : entry.stop]
    _verify(memoryview(contents), entry)
    return contents


def _mapped_numbers(mapped: mmap.mmap, entry: Entry, storage: Storage) -> Tensor:
    size = storage.count * storage.dtype.itemsize
    if size != entry.stop - entry.start:
        seen = entry.stop - entry.start
        raise CheckpointError(f"damaged, not a whole PyTorch file (storage {storage.key[:20]}: {seen} of {size} bytes)")
    _verify(memoryview(mapped)[entry.start : entry.stop], entry)
    if entry.start % storage.dtype.itemsize:
        return _copied_numbers(mapped, entry.start, storage)
    return torch.frombuffer(mapped, dtype=storage.dtype, count=storage.count, offset=entry.start)


def _verify(contents: memoryview, entry: Entry) -> None:
    if zlib.crc32(contents) != entry.checksum:
        raise CheckpointError("damaged, not a whole PyTorch file (a checksum is wrong)")


def _copied_numbers(mapped: mmap.mmap, start: int, storage: Storage) -> Tensor:
    numbers = torch.empty(storage.count, dtype=storage.dtype, device="cpu")
    bytes_of = numbers.view(torch.uint8).numpy()
    bytes_of[:] = np.frombuffer(mapped, np.uint8, len(bytes_of), start)
    return numbers


def _read_sequence(mapped: mmap.mmap) -> object:
    """Pickles one after another (magic number, version, system, content, keys), then each key's count and numbers."""
    stream = io.BytesIO(mapped[:LONGEST_PICKLE])
    if read_pickle(stream) != MAGIC:
        raise CheckpointError("not a whole PyTorch file (it starts with another pickle)")
    _version, _system, content, keys = (read_pickle(stream) for _ in range(4))
    places: dict[str, int] = {}
    position = stream.tell()

    def fetch(storage: Storage) -> Tensor:
        (count,) = struct.unpack_from("<q", mapped, places[storage.key])
        if count != storage.count:
            raise CheckpointError(f"damaged, not a whole PyTorch file ({count} numbers, {storage.count} declared)")
        return _copied_numbers(mapped, places[storage.key] + 8, storage)

    sizes = _storage_sizes(content)
    for key in cast("list[str]", keys):
        places[key] = position
        position += 8 + sizes[key]
    if position > len(mapped):
        raise CheckpointError(f"damaged or truncated, not a whole PyTorch file ({len(mapped)} of {position} bytes)")
    return _with_tensors(content, _remembering(fetch))


def _storage_sizes(value: object, depth: int = DEEPEST) -> dict[str, int]:
    """Bytes of every storage that tensors in `value` are kept in."""
    if isinstance(value, StoredTensor):
        return {value.storage.key: value.storage.count * value.storage.dtype.itemsize}
    sizes: dict[str, int] = {}
    for part in cast("dict[Any, Any]", value).values() if isinstance(value, dict) and depth else ():
        sizes |= _storage_sizes(part, depth - 1)
    return sizes


def _with_tensors(value: object, fetch: Fetch, depth: int = DEEPEST) -> object:
    """`value` with the tensors in the place of what stands for them."""
    if isinstance(value, StoredTensor):
        return _view(value, fetch(value.storage))
    if depth and isinstance(value, dict):
        entries = cast("dict[str, object]", value)
        return {key: _with_tensors(part, fetch, depth - 1) for key, part in entries.items()}
    return value


def _view(tensor: StoredTensor, numbers: Tensor) -> Tensor:
    """The view of `numbers`, which must hold each of its elements once."""
    size, stride = tensor.size, tensor.stride
    if len(size) != len(stride) or len(size) > MOST_AXES or min((*size, *stride, tensor.offset), default=0) < 0:
        raise CheckpointError(f"damaged, not a whole PyTorch file (a tensor of size {size} and stride {stride})")
    last = tensor.offset + sum((length - 1) * step for length, step in zip(size, stride))
    count = math.prod(size)
    if count > len(numbers) or (count and last >= len(numbers)):
        raise CheckpointError(f"refused, a tensor of size {size} is declared on {len(numbers)} numbers")
    return torch.as_strided(numbers, size, stride, tensor.offset)


def _remembering(fetch: Fetch) -> Fetch:
    """Tensors that share a storage share it here too."""
    known: dict[Storage, Tensor] = {}

    def remembered(storage: Storage) -> Tensor:
        if storage not in known:
            known[storage] = fetch(storage) if storage.count else torch.empty(0, dtype=storage.dtype, device="cpu")
        return known[storage]

    return remembered
