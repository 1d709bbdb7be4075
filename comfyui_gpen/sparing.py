"""The network as the restorer calls it, giving way step by step when the device's memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import comfy.model_management as mm
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ..shared.gpen2048 import load_network
from .host import is_out_of_memory
from .model import GpenModel, managed

log = logging.getLogger(__name__)


class SparingNetwork:
    """Stands in for `model.network` during one operation; use in a with statement.

    Out of memory it goes on with smaller batches, then with less memory per face, then in half precision, and says so
    in the log and in `last_note`; only then does the error reach ComfyUI. `on_result` gets the last crop of each batch,
    in [0, 1]; `companions` are the other models in use, which must not be evicted.
    """

    def __init__(self, model: GpenModel, on_result: Callable[[Tensor], None], companions: Sequence[ModelPatcher] = ()):
        self.config = model.network.config
        self.last_note = ""
        self._model = model
        self._network = model.network
        self._patcher = model.patcher
        self._on_result = on_result
        self._companions = companions
        self._most = 0  # crops at once; 0: no limit known
        self._notes: list[str] = []

    def __enter__(self) -> SparingNetwork:
        return self

    def __exit__(self, *_: object) -> None:
        self._network.low_memory = self._model.network.low_memory = False
        self._network.release()

    def __call__(self, crops: Tensor, on_stage: Callable[[], None] | None = None) -> Tensor:
        """(N, 3, S, S) in [-1, 1] to the same, as Network does it."""
        while True:
            if self._most and len(crops) > self._most:
                return torch.cat([self(part, on_stage) for part in crops.split(self._most)])
            result = self._try(crops, on_stage)
            if result is not None:
                return result

    def _try(self, crops: Tensor, on_stage: Callable[[], None] | None) -> Tensor | None:
        """The result, or None when another try, in less memory, may succeed."""
        try:
            result = self._network(crops, on_stage=on_stage)
        except Exception as error:
            if not is_out_of_memory(error) or not self._can_give_way(len(crops)):
                raise
        else:
            self.last_note = "; ".join(note for note in (*self._notes, self._network.last_note) if note)
            self._on_result(result[-1] / 2 + 0.5)
            return result
        self._give_way(len(crops))  # outside the except block, whose traceback keeps tensors alive
        return None

    def _can_give_way(self, batch: int) -> bool:
        return batch > 1 or not self._network.low_memory or self._weight_dtype() == torch.float32

    def _give_way(self, batch: int) -> None:
        self._network.release()
        if batch > 1:
            self._most = batch // 2
            self._note(f"{self._most} faces at once")
        elif not self._network.low_memory:
            self._network.low_memory = True
            self._note("the network in its low-memory schedule")
        else:
            self._halve()
            self._note("half precision")
        mm.soft_empty_cache()

    def _halve(self) -> None:
        """Reads the network again in half precision, since fp16 needs scales of its own."""
        dtype = torch.float16 if mm.should_use_fp16(self._patcher.load_device) else torch.bfloat16
        network = load_network(self._model.path, dtype=dtype)
        network.low_memory = True
        self._network, self._patcher = network, managed(network)
        wanted = [self._patcher, *self._companions]
        mm.load_models_gpu(
            wanted, memory_required=network.memory_required(1, self._patcher.load_device), force_full_load=True
        )

    def _weight_dtype(self) -> torch.dtype:
        return next(self._network.parameters()).dtype

    def _note(self, what: str) -> None:
        self._notes.append(f"out of memory, went on with {what}")
        log.warning("GPEN: %s", self._notes[-1])
