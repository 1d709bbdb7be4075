"""A device that is none: its tensors lie in the CPU's memory, but what a GPU would refuse to do with them is refused.

That is: an operation on tensors of both, NumPy on one of the device's, and, as on Apple's, float64. So code for devices
is tried without one. It tells nothing of kernels, speed and rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

DEVICE = torch.device("mps", 0)
CPU = torch.device("cpu")
REFUSED = {Tensor.numpy, Tensor.__array__, Tensor.data_ptr, Tensor.pin_memory}
TAKES_BOTH = {Tensor.copy_, Tensor.__getitem__, Tensor.__setitem__, Tensor.to, Tensor.cpu}  # indices may be the CPU's


class Far(Tensor):
    """A tensor on DEVICE."""


class PretendedDevice(TorchFunctionMode):
    """While entered, DEVICE can be used. `calls` counts those that took or gave one of its tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = list(_tensors((args, kwargs)))
        far = any(isinstance(tensor, Far) for tensor in given)
        if func == Tensor.device.__get__:
            return DEVICE if far else CPU
        if func is torch.device:
            return func(*args, **kwargs)
        if far:
            _refuse(func, given)
        asked = _asked_device(func, args, kwargs)
        target = far if asked is None else asked.type == DEVICE.type
        self.calls += far or target
        with torch._C.DisableTorchFunctionSubclass():
            result = func(*_near(args), **_near(kwargs))
            return _moved(result, target, copied=target != far)

    def send(self, module: nn.Module) -> nn.Module:
        """`module` with its weights on DEVICE; what `Module.to` does would leave them on the CPU."""
        for part in module.modules():
            for name, weight in part._parameters.items():
                part._parameters[name] = weight if weight is None else nn.Parameter(weight.detach().to(DEVICE), False)
            for name, values in part._buffers.items():
                part._buffers[name] = values if values is None else values.to(DEVICE)
        return module


def _refuse(func: Callable[..., Any], given: list[Tensor]) -> None:
    if func in REFUSED:
        raise TypeError(f"{func.__name__} of a tensor on {DEVICE}")
    kinds = {isinstance(tensor, Far) for tensor in given if isinstance(tensor, Far) or tensor.ndim}
    if len(kinds) == 2 and func not in TAKES_BOTH:
        raise RuntimeError(f"{func.__name__} of tensors on {DEVICE} and on the CPU")


def _asked_device(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.device | None:
    """Where the result shall lie, if that was said."""
    if func == Tensor.cpu:
        return CPU
    named = [kwargs.get("device"), *(args[1:2] if func == Tensor.to else ())]
    return next((torch.device(name) for name in named if isinstance(name, (str, torch.device))), None)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _near(value: Any) -> Any:
    """What was given, as the CPU takes it."""
    if isinstance(value, Far):
        return value.as_subclass(Tensor)
    if type(value) in (tuple, list):
        return type(value)(_near(part) for part in value)
    if isinstance(value, dict):
        return {key: _near(part) for key, part in value.items()}
    return CPU if isinstance(value, (str, torch.device)) and str(value).startswith(DEVICE.type) else value


def _moved(result: Any, far: bool, copied: bool) -> Any:
    if isinstance(result, Tensor):
        if far and result.dtype == torch.float64:
            raise TypeError(f"float64 on {DEVICE}")
        result = result.clone() if copied and result.untyped_storage().nbytes() else result
        return result.as_subclass(Far) if far else result.as_subclass(Tensor)
    if isinstance(result, (tuple, list)):
        return type(result)(_moved(part, far, copied) for part in result)
    return result
