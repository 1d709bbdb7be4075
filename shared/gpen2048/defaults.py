"""What a host may have changed for all of PyTorch, and networks must not be built or run by."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch


@contextmanager
def ordinary_tensors() -> Generator[None]:
    """Tensors made meanwhile lie on the CPU unless told otherwise, and can be moved and filled anew later.

    Those of inference mode could not be, outside it; and a host may have set a default device.
    """
    with torch.inference_mode(False), torch.device("cpu"):
        yield


def no_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Keeps a host's autocast from choosing other precisions than the network's."""
    return torch.autocast(device.type, enabled=False) if device.type in ("cpu", "cuda", "xpu") else nullcontext()
