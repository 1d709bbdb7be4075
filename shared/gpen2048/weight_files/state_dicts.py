"""The tensors of a weight file by key, whatever the file's kind. Nothing in a file is executed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from ..errors import CheckpointError, WeightsNotFoundError
from .pytorch_files import read_pytorch

StateDict = dict[str, Tensor]
# Keys under which trainers nest the weights.
WRAPPERS = (
    "g_ema", "params_ema", "params-ema", "params", "model_state_dict", "state_dict", "generator", "model", "net",
)  # fmt: skip
PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8")  # how their files begin
LONGEST_REASON = 200  # letters of a foreign text in an error


def read_state_dict(path: str | Path, *, numbers: bool = False) -> StateDict:
    """The tensors of a .pth, .pt, .safetensors or .onnx file by key, on the CPU, unwrapped from one nesting key.

    The kind is told by content, not by suffix. Tensors may be mapped from the file: don't write to them. Numbers among
    them are refused, or, with `numbers`, become tensors.
    """
    path = Path(path)
    if not path.exists():
        raise WeightsNotFoundError(f"{path}: no such file")
    if path.is_dir():
        raise CheckpointError(f"{path}: this is a folder; wanted a .pth, .pt or .safetensors file")
    if not path.is_file():  # whoever reads a pipe waits for ever
        raise CheckpointError(f"{path}: no file but a device or a pipe; wanted a .pth, .pt or .safetensors file")
    with path.open("rb") as file:
        head = file.read(16)
    if not head:
        raise CheckpointError(f"{path}: the file is empty (0 bytes)")
    is_safetensors = head[8:9] == b"{"  # after its header's length, of which any byte may be any
    if not is_safetensors and head.lstrip()[:1] == b"<":
        raise CheckpointError(f"{path}: this is a web page, not weights; the download went wrong")
    if not is_safetensors and (head.startswith(PICTURES) or head[8:12] == b"WEBP"):
        raise CheckpointError(f"{path}: this is a picture, not weights")
    if not is_safetensors and _looks_like_onnx(head):
        from .onnx_weights import read_onnx

        return read_onnx(path)
    state = _unwrap(_read_safetensors(path) if is_safetensors else read_pytorch(path), path, numbers)
    _refuse_inflated(state, path)
    return state


def _looks_like_onnx(head: bytes) -> bool:
    """ONNX starts with protobuf field 1 (IR version, below 32) and then field 2 (producer name) or a later field."""
    return head[:1] == b"\x08" and head[1:2] < b" " and head[2:3] in (b"\x12", b"\x1a", b"\x22", b"\x3a")


def _read_safetensors(path: Path) -> object:
    import safetensors
    import safetensors.torch

    try:
        return safetensors.torch.load_file(path)
    except Exception as error:  # what its header declares may be unknown to this torch in many ways
        reason = (str(error) or type(error).__name__).splitlines()[0][:LONGEST_REASON]
        raise CheckpointError(f"{path}: not a whole safetensors file ({reason})") from error


def _unwrap(loaded: object, path: Path, numbers: bool) -> StateDict:
    """The dict of tensors in `loaded`, taken out of one wrapping key, without DataParallel's "module." prefix."""
    entries = _entries(loaded)
    wrappers = WRAPPERS if len(entries) > 1 else entries  # one key alone may have any name
    entries = next((_entries(entries[key]) for key in wrappers if _entries(entries.get(key))), entries)
    if numbers:
        entries = {key: _as_tensor(value) for key, value in entries.items()}
    state = {str(key): value for key, value in entries.items() if isinstance(value, Tensor)}
    if not state:
        raise CheckpointError(f"{path}: holds no named tensors but {type(loaded).__name__}; wanted a state dict")
    if len(state) < len(entries):
        stray = next(str(key) for key, value in entries.items() if not isinstance(value, Tensor))
        raise CheckpointError(f"{path}: key {stray[:LONGEST_REASON]} holds no tensor; wanted tensors only")
    return {key.removeprefix("module."): value for key, value in state.items()}


def _as_tensor(value: object) -> object:
    """A tensor of a number that one can hold, else `value`."""
    fits = isinstance(value, float) or (isinstance(value, int) and abs(value) < 1 << 63)
    return torch.tensor(value, device="cpu") if fits else value


def _refuse_inflated(state: StateDict, path: Path) -> None:
    """Many tensors on the same few numbers would take more memory than the file, sooner or later."""
    declared, there = sum(tensor.nbytes for tensor in state.values()), path.stat().st_size
    if declared > there:
        raise CheckpointError(f"{path}: refused, a file of {there} bytes declares {declared} bytes of tensors")


def _entries(value: object) -> Mapping[Any, Any]:
    """`value` if it is a mapping, else an empty one."""
    return cast("Mapping[Any, Any]", value) if isinstance(value, Mapping) else {}
