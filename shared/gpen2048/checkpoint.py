"""Reading weight files safely, and saying what is in them.

Nothing in a file is executed: pickles are read with torch's `weights_only`, which refuses everything but tensors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .errors import CheckpointError, WeightsNotFoundError

StateDict = dict[str, Tensor]
WRAPPERS = ("g_ema", "params_ema", "params", "state_dict", "generator")  # keys under which trainers nest the weights
SHOWN_KEYS = 3  # keys quoted in an error


def read_state_dict(path: str | Path) -> StateDict:
    """The tensors of a .pth, .pt or .safetensors file by key, on the CPU, unwrapped from one nesting key.

    The kind is told by content, not by suffix. Tensors may be mapped from the file: don't write to them.
    """
    path = Path(path)
    if not path.exists():
        raise WeightsNotFoundError(f"{path}: no such file")
    if path.is_dir():
        raise CheckpointError(f"{path}: this is a folder; wanted a .pth, .pt or .safetensors file")
    with path.open("rb") as file:
        head = file.read(16)
    if not head:
        raise CheckpointError(f"{path}: the file is empty (0 bytes)")
    if head.lstrip()[:1] == b"<":
        raise CheckpointError(f"{path}: this is a web page, not weights; the download went wrong")
    if head[:1] == b"\x08" and b"onnx" not in head[:1] and _looks_like_onnx(head):
        raise CheckpointError(f"{path}: this is an ONNX file; wanted a .pth, .pt or .safetensors file")
    loaded = _read_safetensors(path) if head[8:9] == b"{" else _read_pickle(path, zipped=head[:2] == b"PK")
    return _unwrap(loaded, path)


def _looks_like_onnx(head: bytes) -> bool:
    """ONNX starts with protobuf field 1 (IR version, below 32) and then field 2 (producer name) or a later field."""
    return head[1] < 32 and head[2:3] in (b"\x12", b"\x1a", b"\x22", b"\x3a")


def _read_safetensors(path: Path) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not a whole safetensors file ({error})") from error


def _read_pickle(path: Path, *, zipped: bool) -> object:
    try:
        return torch.load(str(path), map_location="cpu", weights_only=True, mmap=zipped or None)
    except Exception as error:  # a damaged or hostile pickle can raise anything; none of it ran
        message = str(error)
        unsafe = re.search(r"GLOBAL ([\w.]+)|[Uu]nsupported (?:global|operand|class)[^\n]*?([\w.]+\.\w+)", message)
        if unsafe:
            found = unsafe.group(1) or unsafe.group(2)
            raise CheckpointError(f"{path}: refused, the pickle wants to run code ({found}); wanted tensors only") from error
        first_line = message.splitlines()[0] if message else type(error).__name__
        raise CheckpointError(f"{path}: damaged or truncated, not a whole PyTorch file ({first_line})") from error


def _unwrap(loaded: object, path: Path) -> StateDict:
    """The dict of tensors in `loaded`, taken out of one known wrapping key, without DataParallel's "module." prefix."""
    if isinstance(loaded, Mapping):
        for wrapper in WRAPPERS:
            inner: Any = loaded.get(wrapper)
            if isinstance(inner, Mapping):
                loaded = inner
                break
    entries: Mapping[Any, Any] = loaded if isinstance(loaded, Mapping) else {}
    state = {str(key): value for key, value in entries.items() if isinstance(value, Tensor)}
    if not state:
        raise CheckpointError(f"{path}: holds no named tensors but {type(loaded).__name__}; wanted a state dict")
    if len(state) < len(entries):
        stray = next(str(key) for key, value in entries.items() if not isinstance(value, Tensor))
        raise CheckpointError(f"{path}: key {stray} holds no tensor; wanted tensors only")
    return {key.removeprefix("module."): value for key, value in state.items()}


def describe_state_dict(state: Mapping[str, Tensor]) -> str:
    """Which network these keys belong to, in words for an error message."""
    marks = {
        "generator.input.input": "a GPEN network",
        "final_linear.0.weight": "a discriminator (the -D file of GPEN's training)",
        "ClassHead.0.conv1x1.weight": "a RetinaFace detector",
        "out_mask_conv.conv2d.weight": "a ParseNet face parser",
        "stylegan_decoder.constant_input.weight": "a GFPGAN network",
        "quantize.embedding.weight": "a CodeFormer network",
        "conv_first.weight": "an ESRGAN upscaler",
        "model.diffusion_model.input_blocks.0.0.weight": "a Stable Diffusion checkpoint",
    }
    for mark, name in marks.items():
        if mark in state:
            return name
    keys = ", ".join(list(state)[:SHOWN_KEYS])
    return f"an unknown network of {len(state)} tensors ({keys}, …)"
