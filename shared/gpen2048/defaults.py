"""What a host may have changed for all of PyTorch, and networks must not be built by."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch


@contextmanager
def ordinary_tensors() -> Generator[None]:
    """Tensors made meanwhile lie on the CPU unless told otherwise, and can be moved and filled anew later.

    Those of inference mode could not be, outside it; and a host may have set a default device.
    """
    with torch.inference_mode(False), torch.device("cpu"):
        yield
