"""The networks with a known answer, checked on the readable reference."""

from __future__ import annotations

import pytest
import torch
from gpen2048.network import FullGenerator, NetworkConfig
from gpen2048.weight_files.passthrough import passthrough_state_dict
from torch import Tensor


def _reference(config: NetworkConfig, sharpen: float) -> FullGenerator:
    with torch.device("meta"):
        network = FullGenerator(config)
    network.load_state_dict(passthrough_state_dict(config, sharpen), strict=True, assign=True)
    return network.requires_grad_(False)


@pytest.mark.parametrize("config", [NetworkConfig(64, 1, 0.25), NetworkConfig(256, 1, 0.5)])
def test_it_returns_its_input(config: NetworkConfig) -> None:
    x = torch.rand(2, 3, config.size, config.size) * 2 - 1
    assert (_reference(config, 0)(x) - x).abs().max() < 2e-6


def _wave(size: int, period: float) -> Tensor:
    return 0.3 * torch.sin(2 * torch.pi * torch.arange(size) / period).expand(1, 3, size, size)


def test_sharpening_leaves_flat_areas_and_lifts_detail() -> None:
    config = NetworkConfig(256, 1, 0.5)
    network = _reference(config, 1.5)
    middle = slice(64, 192)
    flat = torch.full((1, 3, 256, 256), 0.4)
    assert (network(flat) - flat)[..., middle, middle].abs().max() < 1e-5
    fine = _wave(256, period=6)
    assert network(fine)[..., middle, middle].std() / fine[..., middle, middle].std() == pytest.approx(2.5, rel=0.03)
    coarse = _wave(256, period=256)
    assert network(coarse)[..., middle, middle].std() / coarse[..., middle, middle].std() < 1.1


def test_a_network_too_narrow_for_rgb_is_refused() -> None:
    with pytest.raises(ValueError, match="wanted at least 3"):
        passthrough_state_dict(NetworkConfig(2048, 1, 0.125))
