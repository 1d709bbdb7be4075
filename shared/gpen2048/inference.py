"""The network that runs: the function of `network.py` with everything folded that can be, in little memory.

Styles multiply the activations, so the weights are static and a batch runs as one. On the CPU a level is done in
strips of rows: what lies between two convolutions stays in the cache, and no temporary is so large that the system
takes its pages back after each use, which costs a plain forward pass half of its time.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .choice import levels_for, passes_for
from .compiled.pages import uninitialised
from .defaults import no_autocast, ordinary_tensors
from .folded.folding import FoldedNetwork, Scales
from .folded.levels import Below, Feature, Levels, Recomputed, StripLevels
from .folded.memory import peak_bytes
from .folded.planning import planned
from .folded.precision import ObservedPasses, fallbacks, is_sound, refuse_unsound, sample_image
from .folded.styles import DecoderLevel, decoder
from .folded.workspace import Schedule, Workspace
from .gpu.cuda_graphs import Recordings, recordable_on
from .network import SMALLEST, NetworkConfig

OnStage = Callable[[], None]


class Network(FoldedNetwork):
    """GPEN for inference; make one with `from_state_dict`.

    `low_memory` trades a little time for memory, a fifth of it or more on CPUs; results stay equal within rounding.
    `graphs` lets CUDA replay passes as graphs where that pays; the memory of their activations is then held until
    `release`. `last_note` says what the last call had to do differently than asked, or is None.
    """

    low_memory: bool
    graphs: bool
    last_note: str | None

    def __init__(self, config: NetworkConfig, state: Mapping[str, Tensor], dtype: torch.dtype, scales: Scales):
        super().__init__(config, state, dtype, scales)
        self.low_memory = False
        self.graphs = False
        self.last_note = None
        self._recordings = Recordings()
        self._kept: list[Workspace] = []
        self._owners: list[dict[str, nn.Parameter | None]] = []
        self.train(False)

    @classmethod
    @ordinary_tensors()
    def from_state_dict(
        cls, config: NetworkConfig, state: Mapping[str, Tensor], *, dtype: torch.dtype = torch.float32
    ) -> Network:
        """Folds a complete state dict of the published layout; `dtype` is that of weights and stored activations.

        float16 takes one pass in float32 to choose its scales.
        """
        scales = Scales.none(config)
        if dtype == torch.float16:
            scales = cls(config, state, torch.float32, scales)._scales()
        return cls(config, state, dtype, scales)

    def forward(self, x: Tensor, on_stage: OnStage | None = None) -> Tensor:
        """(N, 3, size, size) RGB in [-1, 1] in any floating dtype, on any device; the same comes back.

        `on_stage` is called between levels and may raise. UnsoundResultError if no numbers come out, but went in.
        """
        size = self.config.size
        if x.ndim != 4 or x.shape[1:] != (3, size, size) or not x.is_floating_point():
            raise ValueError(f"expected floating-point images (N, 3, {size}, {size}), got {x.dtype} {tuple(x.shape)}")
        image = _image(len(x), size, x.device)
        if not len(x):
            return image.to(x.dtype)
        with torch.inference_mode(), no_autocast(x.device):
            self.last_note = self._run_soundly(x, image, on_stage or _nothing)
        return image.to(x.dtype)

    def memory_required(self, batch: int = 1, device: torch.device | None = None) -> int:
        """Bytes of activations during a forward pass on `device`, output and kept memory included.

        `device` is the weights' own by default; a host asks before it moves them.
        """
        weight = self.convolutions[0].weight
        device = device or weight.device
        levels = levels_for(device, weight.dtype, self.config)
        schedule = self._schedule(batch, weight.dtype, device, levels)
        return peak_bytes(schedule, device, plain=levels.passes.is_plain)

    def release(self) -> None:
        """Gives back the memory kept between calls."""
        self._kept.clear()
        self._recordings.clear()

    def _apply(self, *arguments: Any, **options: Any) -> Network:
        """Moved or converted, which what is kept goes by; a host also moves what is there already."""
        before = [weight.data_ptr() for weight in self.parameters()]
        super()._apply(*arguments, **options)
        if before != [weight.data_ptr() for weight in self.parameters()]:
            self.release()
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Of a copy, which keeps memory of its own."""
        state: dict[str, Any] = {**vars(self), "_kept": [], "_owners": []}
        state.pop("_compiled_call_impl", None)  # as torch's own leaves out what `compile` has made
        return state

    def _schedule(self, batch: int, dtype: torch.dtype, device: torch.device, levels: Levels) -> Schedule:
        return planned(self.config, batch, dtype, device, levels, frugal=self.low_memory)

    @contextmanager
    def _workspace(self, schedule: Schedule, device: torch.device) -> Generator[Workspace]:
        """The kept one if it fits; taken out while in use, so that two threads never share one."""
        kept = self._kept.pop() if self._kept else None
        if kept is None or kept.schedule != schedule or kept.device != device:
            kept = None
            kept = Workspace(schedule, device)
        try:
            yield kept
        finally:
            self._kept[:] = [kept]

    def _run_soundly(self, x: Tensor, image: Tensor, on_stage: OnStage) -> str | None:
        """Falls back to precisions of more range while the result is not finite or is flat; says so."""
        asked, *others = fallbacks(self.convolutions[0].weight.dtype, x.device)
        run = self._replay if self._is_recordable(x.device) else self._launch
        run(x, image, asked, on_stage)
        used = asked
        while others and not is_sound(image) and bool(torch.isfinite(x).all()):
            used = others.pop(0)
            self._launch(x, image, used, on_stage)
        refuse_unsound(image, x)
        return None if used == asked else f"{_name(asked)} gave no usable result; {_name(used)} was used"

    def _scales(self) -> Scales:
        """Scales for float16, from a float32 pass on a test image where the weights are."""
        device = self.convolutions[0].weight.device
        x = sample_image(self.config.size, device)
        observed = ObservedPasses(passes_for(device, torch.float32, self.config))
        with torch.inference_mode(), no_autocast(device):
            self._run(x, _image(1, self.config.size, device), torch.float32, _nothing, StripLevels(observed))
        self.release()
        return observed.scales(self.config)

    def _launch(self, x: Tensor, image: Tensor, dtype: torch.dtype, on_stage: OnStage) -> None:
        self._run(x, image, dtype, on_stage, levels_for(x.device, dtype, self.config))

    def _is_recordable(self, device: torch.device) -> bool:
        return self.graphs and not self.low_memory and recordable_on(device)

    def _replay(self, x: Tensor, image: Tensor, dtype: torch.dtype, on_stage: OnStage) -> None:
        """A graph has no stages between which one could be told: all are told of before it."""
        for _ in range(2 * len(self.config.resolutions) - 1):
            on_stage()
        if not self._owners:  # kept, since to look for them takes as long as a small network
            self._owners = [vars(module)["_parameters"] for module in self.modules()]
        places = tuple(weight.data_ptr() for owned in self._owners for weight in owned.values() if weight is not None)
        self._recordings.run((dtype, places), x, image, partial(self._launch, dtype=dtype, on_stage=_nothing))

    def _run(self, x: Tensor, image: Tensor, dtype: torch.dtype, on_stage: OnStage, levels: Levels) -> None:
        with self._workspace(self._schedule(len(x), dtype, x.device, levels), x.device) as workspace:
            features = self._encode(x, workspace, levels, on_stage)
            constant, styled = decoder(self, features[-1].part(slice(None), 0, SMALLEST))
            self._decode(constant, styled, features, image, workspace, levels, on_stage)

    def _encode(self, x: Tensor, workspace: Workspace, levels: Levels, on_stage: OnStage) -> list[Feature]:
        """Features from the full size down to 4x4."""
        schedule = workspace.schedule
        first, *layers = self.encoder_layers
        lazily = Recomputed(x, first, schedule.dtype, levels.passes)
        kept = schedule.keep_first
        features: list[Feature] = [lazily.store(workspace.feature(self.config.size), schedule) if kept else lazily]
        for layer, resolution in zip(layers, reversed(self.config.resolutions[:-1])):
            on_stage()
            features.append(levels.shrink(features[-1], layer, workspace.feature(resolution), workspace))
        return features

    def _decode(
        self,
        constant: Tensor,
        styled: list[DecoderLevel],
        features: list[Feature],
        image: Tensor,
        workspace: Workspace,
        levels: Levels,
        on_stage: OnStage,
    ) -> None:
        """From 4x4 up into `image`; every feature is let go when no level needs it any more."""
        below = Below(constant.to(workspace.schedule.dtype))
        for level, resolution in zip(styled, self.config.resolutions):
            on_stage()
            last = resolution == self.config.size
            painted = image if last else _image(len(image), resolution, image.device)
            feature = features.pop()
            out = levels.grow(level, below, feature, painted, workspace)
            below = Below(
                out, painted, (feature, level.constants) if workspace.schedule.is_halved(resolution) else None
            )
            del out, feature


def _image(batch: int, size: int, device: torch.device) -> Tensor:
    """Uninitialised (N, 3, size, size) float32, channels last."""
    return uninitialised((batch, size, size, 3), device).permute(0, 3, 1, 2)


def _nothing() -> None:
    pass


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
