"""What a command restores with, and what it does when that runs out of memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import torch

from ..errors import DONE_IN_LESS_MEMORY, OutOfMemoryError, is_out_of_memory
from ..geometry.upscaling import Upscaler
from ..restorer import FaceRestorer

GIGABYTE = 1e9

Done = TypeVar("Done")


@dataclass(frozen=True)
class Equipment:
    """Everything loaded, with lines for the user and facts for the report."""

    restorer: FaceRestorer
    device: torch.device
    described: list[str] = field(default_factory=list[str])
    facts: dict[str, str] = field(default_factory=dict[str, str])
    upscaler: Upscaler | None = None

    def in_memory(self, work: Callable[[], Done]) -> tuple[Done, str]:
        """What `work` gives, and "" or a note: out of memory it is done once more, with the network in less of it.

        Raises OutOfMemoryError saying what to try when that is too much, too.
        """
        try:
            return work(), ""
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        return self._in_less(work), DONE_IN_LESS_MEMORY  # here, as the error's traceback keeps tensors alive

    def _in_less(self, work: Callable[[], Done]) -> Done:
        network = self.restorer.network
        network.release()
        network.low_memory = True
        try:
            return work()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            needed = network.memory_required() / GIGABYTE
            raise OutOfMemoryError(
                f"{self.device} has too little memory; the network alone wants {needed:.1f} GB beside its weights. "
                "Try --precision fp16, a smaller --scale, or --device cpu"
            ) from error
        finally:
            network.low_memory = False
