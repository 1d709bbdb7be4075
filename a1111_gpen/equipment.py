"""The network, detector and parser this process has loaded, and restoring with them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..shared.gpen2048 import (
    FaceRestorer,
    Network,
    Restoration,
    RestoreOptions,
    forget_variables,
    is_out_of_memory,
    load_detector,
    load_network,
    load_parser,
)
from ..shared.gpen2048.cancelling import cancellable
from ..shared.gpen2048.compiled.pages import give_back
from ..shared.gpen2048.memory import canvas_bytes, step_bytes
from . import device, host, weights

SCALING_BYTES = 2 << 30  # the 2048 network in fp32, weights (0.3 GB) and activations (1.4 GB)


@dataclass(frozen=True)
class Choice:
    """Which files to restore with; where the network's name is automatic, that of `size` px, or the best there is."""

    network: str = weights.AUTOMATIC
    size: int | None = None

    def network_path(self) -> Path:
        return weights.find_network(self.network, self.size)

    def known_path(self) -> Path | None:
        """As `network_path`, but None for a file that is not there yet."""
        return weights.known_network(self.network, self.size)


class Equipment:
    """Loads on first use and keeps what was loaded, until another file is asked for or the settings say to let go."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[object, Any]] = {}

    def restore(self, pixels: Tensor, options: RestoreOptions, choice: Choice) -> Restoration:
        """Restores the faces of `pixels` (3, H, W) float32 RGB in [0, 1]; the result is on the CPU.

        The host's queue lock must be held. Raises gpen2048's errors, and host.Stopped when the user wants out.
        """
        where = device.working_device()
        with self._lock, torch.inference_mode(False), torch.no_grad(), host.Watch() as watch, cancellable(_tell):
            restorer = self._restorer(options, choice, where)
            with device.room(_required(restorer, pixels, options, where), where):
                try:
                    _move(restorer, where)
                    return _on_cpu(_run(restorer, pixels.to(where), options, watch))
                except BaseException as error:
                    forget_variables(error)  # before the checkpoint comes back, which may need their memory
                    raise
                finally:
                    self._put_away(restorer, where)

    def _restorer(self, options: RestoreOptions, choice: Choice, where: torch.device) -> FaceRestorer:
        dtype = device.working_precision(where, host.option("gpen_precision", "automatic"))
        network_path = choice.network_path()
        size = choice.size if choice.network == weights.AUTOMATIC else None
        detector_path = weights.find_detector(host.option("gpen_detector", weights.AUTOMATIC))
        parser_path = weights.find_parser() if options.needs_parser else None
        with device.building():
            network = self._keep(
                "network", network_path, lambda: _read_network(network_path, dtype, size, where), dtype
            )
            detector = self._keep("detector", detector_path, lambda: load_detector(detector_path))
            parser = self._keep("parser", parser_path, lambda: load_parser(parser_path)) if parser_path else None
        return FaceRestorer(network, detector, parser)

    def _keep(self, kind: str, path: Path, load: Callable[[], Any], *also: object) -> Any:
        stat = path.stat()
        key = (path, stat.st_size, stat.st_mtime_ns, *also)
        if self._kept.get(kind, (None, None))[0] != key:
            if self._kept.pop(kind, None):  # before the new one is loaded: two at once may be too many
                give_back()  # else the thread that loaded the old one may keep its memory, and the next may be another
            self._kept[kind] = (key, _with_data(load()))
        return self._kept[kind][1]

    def _put_away(self, restorer: FaceRestorer, where: torch.device) -> None:
        """Leaves the device as the settings say; memory of the forward pass stays only where it is plentiful."""
        forget = host.option("gpen_unload", False)
        unload = forget or host.option("face_restoration_unload", False)
        if unload:  # to nowhere what is to be forgotten: whoever called this still holds it
            _move(restorer, torch.device("meta" if forget else "cpu"))
        if unload or where.type != "cpu":
            restorer.network.release()
        restorer.network.low_memory = False
        host.free_memory(force=unload)
        if forget:
            self._kept.clear()
            give_back()


def _tell(what: str) -> None:
    host.show_progress(f"GPEN: {what}")


def _read_network(path: Path, dtype: torch.dtype, size: int | None, where: torch.device) -> Network:
    """fp16 takes a pass in fp32 to choose its scales: where the network will compute, or on the CPU if that is full."""
    if dtype == torch.float16:
        with device.room(SCALING_BYTES, where):
            try:
                return load_network(path, device=where, dtype=dtype, size=size)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                forget_variables(error)
    return load_network(path, dtype=dtype, size=size)


def _run(restorer: FaceRestorer, pixels: Tensor, options: RestoreOptions, watch: host.Watch) -> Restoration:
    """Restores; once more with less of the network's memory when the device runs out of it."""
    try:
        return restorer(pixels, options, on_progress=watch)
    except Exception as error:
        if not is_out_of_memory(error) or restorer.network.low_memory:
            raise
    restorer.network.low_memory = True  # outside the except block, whose traceback keeps tensors alive
    restorer.network.release()
    host.free_memory(force=True)
    return restorer(pixels, options, on_progress=watch)


def _modules(restorer: FaceRestorer) -> list[nn.Module]:
    others = [part.network for part in (restorer.detector, restorer.parser) if part is not None]
    return [restorer.network, *others]


def _move(restorer: FaceRestorer, where: torch.device) -> None:
    for module in _modules(restorer):
        module.to(where)


def _with_data(loaded: Any) -> Any:
    """`loaded`, unless the host's checkpoint loader left its parameters without data."""
    module = loaded if isinstance(loaded, nn.Module) else loaded.network
    if any(parameter.is_meta for parameter in module.parameters()):
        raise RuntimeError("the host was loading a checkpoint while GPEN was loaded; please try again")
    return loaded


def _required(restorer: FaceRestorer, pixels: Tensor, options: RestoreOptions, where: torch.device) -> int:
    """Bytes still needed on `where`: for weights, the most demanding step, and the picture."""
    parameters = [parameter for module in _modules(restorer) for parameter in module.parameters()]
    missing = [parameter for parameter in parameters if parameter.device.type != where.type]
    weights_bytes = sum(parameter.numel() * parameter.element_size() for parameter in missing)
    scale = options.max_scale if options.scale == "auto" else float(options.scale)
    size = (pixels.shape[1], pixels.shape[2])
    step = step_bytes(options, size, restorer.network, restorer.detector, restorer.parser, device=where)
    return weights_bytes + step + canvas_bytes(size, scale)


def _on_cpu(result: Restoration) -> Restoration:
    return Restoration(result.image.cpu(), result.mask.cpu(), result.crops, result.faces, result.scale)


EQUIPMENT = Equipment()
