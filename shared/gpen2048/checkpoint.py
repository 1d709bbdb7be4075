"""Reading weight files safely, and saying what is in them.

Nothing in a file is executed: pickles are read with torch's `weights_only`, which refuses everything but tensors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from .errors import CheckpointError, WeightsNotFoundError
from .inference import Network
from .network import FullGenerator, NetworkConfig, fir_kernel

StateDict = dict[str, Tensor]
WRAPPERS = ("g_ema", "params_ema", "params", "state_dict", "generator")  # keys under which trainers nest the weights
SHOWN_KEYS = 3  # keys quoted in an error


def load_network(
    path: str | Path, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32, size: int | None = None
) -> Network:
    """The GPEN network in a .pth, .pt or .safetensors file, on `device`, computing in `dtype`.

    Size, channel multiplier and width are read from the tensors' shapes, never from the name. Raises CheckpointError
    saying what the file is when it is not a sound GPEN network (of `size` px, if given), and WeightsNotFoundError when
    it is not there.
    """
    path = Path(path)
    state = read_state_dict(path)
    config = network_config(state, path)
    if size is not None and config.size != size:
        raise CheckpointError(f"{path}: this is the {config.size} network; wanted the {size} network")
    check_state_dict(state, config, path)
    return Network.from_state_dict(config, state, dtype=dtype).to(device)


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
    if _looks_like_onnx(head):
        raise CheckpointError(f"{path}: this is an ONNX file; wanted a .pth, .pt or .safetensors file")
    loaded = _read_safetensors(path) if head[8:9] == b"{" else _read_pickle(path, zipped=head[:2] == b"PK")
    return _unwrap(loaded, path)


def _looks_like_onnx(head: bytes) -> bool:
    """ONNX starts with protobuf field 1 (IR version, below 32) and then field 2 (producer name) or a later field."""
    return head[:1] == b"\x08" and head[1] < 32 and head[2:3] in (b"\x12", b"\x1a", b"\x22", b"\x3a")


def _read_safetensors(path: Path) -> object:
    import safetensors
    import safetensors.torch

    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not a whole safetensors file ({error})") from error


def _read_pickle(path: Path, *, zipped: bool) -> object:
    try:
        return torch.load(str(path), map_location="cpu", weights_only=True, mmap=zipped or None)
    except Exception as error:  # a damaged or hostile pickle can raise anything; none of it ran
        raise CheckpointError(f"{path}: {_pickle_fault(error)}") from error


def _pickle_fault(error: Exception) -> str:
    """In words; torch names what a pickle asked for in one of three ways, which differ from version to version."""
    message = str(error)
    asked = re.search(r"(?:GLOBAL|class) ([\w.]+)|operand (\d+)", message)
    if asked and asked.group(1):
        return f"refused, the pickle wants to run code ({asked.group(1)})"
    if asked:
        return f"refused, the pickle holds more than tensors (operation {asked.group(2)})"
    first_line = message.splitlines()[0] if message else type(error).__name__
    return f"damaged or truncated, not a whole PyTorch file ({first_line})"


def _unwrap(loaded: object, path: Path) -> StateDict:
    """The dict of tensors in `loaded`, taken out of one known wrapping key, without DataParallel's "module." prefix."""
    entries = _entries(loaded)
    entries = next((_entries(entries[key]) for key in WRAPPERS if _entries(entries.get(key))), entries)
    state = {str(key): value for key, value in entries.items() if isinstance(value, Tensor)}
    if not state:
        raise CheckpointError(f"{path}: holds no named tensors but {type(loaded).__name__}; wanted a state dict")
    if len(state) < len(entries):
        stray = next(str(key) for key, value in entries.items() if not isinstance(value, Tensor))
        raise CheckpointError(f"{path}: key {stray} holds no tensor; wanted tensors only")
    return {key.removeprefix("module."): value for key, value in state.items()}


def _entries(value: object) -> Mapping[Any, Any]:
    """`value` if it is a mapping, else an empty one."""
    return cast("Mapping[Any, Any]", value) if isinstance(value, Mapping) else {}


def network_config(state: Mapping[str, Tensor], path: str | Path) -> NetworkConfig:
    """Size, channel multiplier and width of the GPEN network `state`; CheckpointError if it is none."""
    start = state.get("generator.input.input")
    first = state.get("ecd0.0.0.weight")
    levels = sum(bool(re.fullmatch(r"ecd\d+\.0\.[01]\.weight", key)) for key in state)
    if start is None or first is None or start.ndim != 4 or first.ndim != 4 or not 1 <= levels <= 12:
        raise CheckpointError(f"{path}: this is {describe_state_dict(state)}; wanted a GPEN network")
    size = 2 ** (levels + 1)
    narrow = start.shape[1] / 512
    unit = 16384 * narrow / size  # channels at the full size for channel multiplier 1
    multiplier = max(1, round(first.shape[0] / unit)) if size >= 64 else 2
    return NetworkConfig(size, multiplier, narrow)


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


def check_state_dict(state: Mapping[str, Tensor], config: NetworkConfig, path: str | Path) -> None:
    """Raises CheckpointError unless `state` has exactly the keys, shapes and finite values of the `config` network."""
    with torch.device("meta"):
        wanted = {key: tensor.shape for key, tensor in FullGenerator(config).state_dict().items()}
    name = f"{path}: this is the {config.size} network, but"
    for kind, keys in (("missing", wanted.keys() - state.keys()), ("unknown", state.keys() - wanted.keys())):
        if keys:
            raise CheckpointError(f"{name} {_count(keys)} {kind}")
    for key, shape in wanted.items():
        tensor = state[key]
        if tensor.shape != shape:
            raise CheckpointError(f"{name} key {key} has shape {tuple(tensor.shape)}; wanted {tuple(shape)}")
        if not tensor.is_floating_point():
            raise CheckpointError(f"{name} key {key} holds {tensor.dtype}; wanted floating point")
        if not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"{name} key {key} holds NaN or infinity")
        if key.endswith(".kernel"):
            _check_kernel(tensor, key, name)


def _check_kernel(kernel: Tensor, key: str, name: str) -> None:
    gain = 4 if key.startswith("generator.") else 1
    if not torch.allclose(kernel.float(), fir_kernel(gain), atol=1e-3):
        raise CheckpointError(f"{name} key {key} is not the published FIR filter [1, 3, 3, 1] with gain {gain}")


def _count(keys: set[str]) -> str:
    shown = ", ".join(sorted(keys)[:SHOWN_KEYS]) + (", …" if len(keys) > SHOWN_KEYS else "")
    return f"key {shown} is" if len(keys) == 1 else f"{len(keys)} keys ({shown}) are"
