"""Halved copies and their detail: the compiled loop against pooling written out."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from gpen2048.detectors import halving
from gpen2048.detectors.halving import DETAIL_BLOCK, Halvings
from gpen2048.geometry import splines


@pytest.mark.parametrize("shape", [(3, 64, 96), (3, 33, 47), (1, 40, 31), (3, 1, 9), (3, 1, 1)])
@pytest.mark.parametrize("interleaved", [False, True])
def test_the_compiled_loop_is_the_pooling(
    shape: tuple[int, int, int], interleaved: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    if interleaved:
        image = image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    assert splines.compiled_kernels() is not None
    compiled = Halvings(image)
    half, detail = compiled.copy(1), compiled.detail(0)
    monkeypatch.setattr(halving, "compiled_kernels", lambda: None)
    plain = Halvings(image)
    assert torch.allclose(half, plain.copy(1), atol=1e-6)
    assert torch.allclose(detail, plain.detail(0), atol=1e-6)
    assert detail.shape == tuple(-(-side // (2 * DETAIL_BLOCK)) for side in shape[1:])


@pytest.mark.parametrize("shape", [(3, 640, 96), (3, 533, 47), (1, 41, 31), (2, 43, 30), (3, 2, 9), (3, 1, 1)])
def test_halving_twice_in_one_go_is_halving_twice(shape: tuple[int, int, int]) -> None:
    image = torch.rand(shape, generator=torch.Generator().manual_seed(2))
    at_once, in_steps = Halvings(image), Halvings(image)
    in_steps.copy(1)  # which is kept, so the next is made of it
    assert torch.equal(at_once.copy(2), in_steps.copy(2))
    assert torch.allclose(at_once.detail(1), in_steps.detail(1), atol=1e-7)
    assert torch.equal(at_once.copy(1), in_steps.copy(1))


def test_copies_are_means_of_squares() -> None:
    image = torch.rand(3, 64, 128)
    assert torch.allclose(Halvings(image).copy(3), F.avg_pool2d(image, 8), atol=1e-6)


def test_detail_is_what_a_ramp_lacks_and_stripes_have() -> None:
    ramp = torch.linspace(0, 1, 128).expand(3, 96, 128)
    inner = Halvings(ramp).detail(0)[:, 1:-1]
    assert inner.abs().max() < 1e-5
    stripes = (torch.arange(128) % 2).float().expand(3, 96, 128)
    assert Halvings(stripes).detail(0)[:, 1:-1].allclose(torch.tensor(0.5), atol=1e-3)
