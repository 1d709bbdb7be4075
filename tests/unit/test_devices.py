"""How precisely each kind of device computes, unless told."""

from __future__ import annotations

import pytest
import torch
from gpen2048.devices import choose_precision
from gpen2048.errors import InvalidOptionError


@pytest.mark.parametrize(("device", "dtype"), [("cpu", torch.float32), ("mps", torch.float32), ("xpu", torch.float16)])
def test_precision_is_what_suits_the_device(device: str, dtype: torch.dtype) -> None:
    assert choose_precision("auto", torch.device(device)) == dtype
    assert choose_precision("bf16", torch.device(device)) == torch.bfloat16


def test_an_unknown_precision_is_named() -> None:
    with pytest.raises(InvalidOptionError, match="precision is 'fp8'; wanted auto, fp32, fp16, bf16"):
        choose_precision("fp8", torch.device("cpu"))
