"""Loading the network from a weight file."""

from __future__ import annotations

from pathlib import Path

import torch

from .defaults import ordinary_tensors
from .errors import CheckpointError
from .inference import Network
from .weight_files.layout import check_state_dict, network_config
from .weight_files.state_dicts import read_state_dict


@ordinary_tensors()
def load_network(
    path: str | Path, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32, size: int | None = None
) -> Network:
    """The GPEN network in a .pth, .pt, .safetensors or .onnx file, on `device`, computing in `dtype`.

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
    there = {key: tensor.to(device) for key, tensor in state.items()}  # float16 takes a pass to choose its scales
    return Network.from_state_dict(config, there, dtype=dtype).to(device)
