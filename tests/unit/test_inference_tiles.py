"""Levels on matrix tiles against PyTorch's, where the processor has tiles; what happens where it has none, anywhere."""

from __future__ import annotations

import sys

import pytest
import torch
import torch.nn.functional as F
from gpen2048 import amx_room, choice, inference
from gpen2048.amx_room import tileable
from gpen2048.amx_weights import pack_convolution, pack_transposed
from gpen2048.inference import Network
from gpen2048.levels import StripLevels
from gpen2048.network import FullGenerator, NetworkConfig
from gpen2048.passes import TorchPasses
from torch import Tensor

CPU = torch.device("cpu")
SMALL = NetworkConfig(128, 1, 1 / 8)  # tiled levels of 32 and 16 channels
has_tiles = choice.levels_for(CPU, torch.float32, SMALL).tile_threads(SMALL) > 0
on_tiles = pytest.mark.skipif(not has_tiles, reason="this processor has no matrix tiles")


def random_state(config: NetworkConfig) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(2)
    state = FullGenerator(config).state_dict()
    for key, value in state.items():
        if not key.endswith("kernel"):
            value.copy_(torch.randn(value.shape, generator=generator) * (100 if ".style." in key else 0.7))
    return state


def images(batch: int, size: int) -> Tensor:
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(3)) * 2 - 1


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return random_state(SMALL)


@pytest.fixture(scope="module")
def wanted(state: dict[str, Tensor]) -> Tensor:
    network = FullGenerator(SMALL).double()
    network.load_state_dict(state)
    with torch.inference_mode():
        return network(images(2, 128).double())


@on_tiles
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("low_memory", [False, True])
def test_float32_is_float32(
    state: dict[str, Tensor], wanted: Tensor, threads: int, low_memory: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)  # odd numbers of rows for each
    monkeypatch.setattr("gpen2048.amx_levels.RECOMPUTED_ROWS", 32)
    network = Network.from_state_dict(SMALL, state)
    network.low_memory = low_memory
    assert (network(images(2, 128)) - wanted).abs().max() / wanted.std() < 1e-4  # 2e-4 is promised


@on_tiles
def test_bfloat16_is_as_near_as_pytorchs(
    state: dict[str, Tensor], wanted: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network.from_state_dict(SMALL, state, dtype=torch.bfloat16)
    tiled = (network(images(2, 128)) - wanted).square().mean().sqrt()
    monkeypatch.setattr(inference, "levels_for", lambda device, dtype, config: StripLevels(TorchPasses()))
    assert tiled < 1.1 * (network(images(2, 128)) - wanted).square().mean().sqrt()


@on_tiles
def test_nothing_of_an_earlier_call_is_left(state: dict[str, Tensor]) -> None:
    network, x = Network.from_state_dict(SMALL, state), images(1, 128)
    before = network(x)
    broken = x.clone()
    broken[..., 40:50, 40:50] = torch.inf
    assert not network(broken).isfinite().all()
    assert torch.equal(network(x), before)


@on_tiles
def test_other_weights_in_the_same_place_are_noticed(state: dict[str, Tensor]) -> None:
    network, x = Network.from_state_dict(SMALL, state), images(1, 128)
    before = network(x)
    with torch.no_grad():
        layer = network.convolutions[-1]
        layer.weight.data = layer.weight.data.flip(0).clone()
    assert not torch.equal(network(x), before)


@pytest.mark.parametrize("exact", [False, True])
def test_packed_weights_hold_every_weight_once(exact: bool) -> None:
    weight = torch.randn(64, 32, 3, 3)
    parts = 2 if exact else 1
    for pack, given in ((pack_convolution, weight), (pack_transposed, weight.transpose(0, 1))):
        values = pack(given, exact).view(torch.bfloat16).double()
        assert len(values) == weight.numel() * parts
        rounded = weight.bfloat16().double()
        total = rounded.sum() + ((weight - rounded.float()).bfloat16().double().sum() if exact else 0)
        assert values.sum() == pytest.approx(float(total), abs=1e-9)


def test_room_and_weights_are_counted_as_they_are_made() -> None:
    weights = [
        pack(torch.zeros(shape), True)
        for pack, shape in (
            (pack_convolution, (32, 16, 3, 3)),  # shrink to 64
            (pack_transposed, (128, 32, 3, 3)),  # grow to 64
            (pack_convolution, (32, 64, 3, 3)),
            (pack_transposed, (64, 16, 3, 3)),  # grow to 128
            (pack_convolution, (16, 32, 3, 3)),
        )
    ]
    assert SMALL.channels(32) == 64
    encoder, *decoder = (len(data) for data in weights)
    levels = [decoder[0] + decoder[1], decoder[2] + decoder[3], encoder]
    assert amx_room.packed_bytes(SMALL, exact=True) == levels


def test_only_whole_tiles_are_tiled() -> None:
    for size, multiplier, narrow in ((256, 1, 0.5), (512, 2, 1.0), (1024, 2, 1.0), (2048, 2, 1.0)):
        assert tileable(NetworkConfig(size, multiplier, narrow))  # all that were released
    assert not tileable(NetworkConfig(32, 1, 1.0)) and not tileable(NetworkConfig(128, 1, 1 / 16))


def test_processors_without_tiles_do_without(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    choice._tiled.cache_clear()
    with caplog.at_level("INFO"):
        assert isinstance(choice.levels_for(CPU, torch.float32, SMALL), StripLevels)
    assert "no matrix tiles" in caplog.text
    choice._tiled.cache_clear()


def test_tiles_that_differ_are_not_used(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    class Wrong(StripLevels):
        def grow(self, *arguments: object) -> None:
            super().grow(*arguments)  # pyright: ignore[reportArgumentType]  handed on as they are
            F.relu_(arguments[5])  # pyright: ignore[reportArgumentType]  the image

    monkeypatch.setattr("gpen2048.amx_levels.TileLevels", lambda others: Wrong(TorchPasses()))
    choice._tiled.cache_clear()
    with caplog.at_level("INFO"):
        assert type(choice.levels_for(CPU, torch.float32, SMALL)) is StripLevels
    assert "differs from PyTorch's" in caplog.text
    choice._tiled.cache_clear()
