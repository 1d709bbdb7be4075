"""Levels in one walk against the readable network, by every engine that runs here; what happens where one does not."""

from __future__ import annotations

import os
import platform
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from gpen2048 import choice, inference
from gpen2048.compiled.numba_passes import NumbaPasses
from gpen2048.compiled.pieces import Pieces
from gpen2048.cpu import walking, winograd
from gpen2048.cpu.amx_room import TileWalk, tileable
from gpen2048.cpu.amx_weights import pack_convolution, pack_transposed
from gpen2048.cpu.lane_products import products
from gpen2048.cpu.lane_room import LaneWalk, grown
from gpen2048.cpu.lane_weights import pack
from gpen2048.cpu.walking import Engine, WalkLevels
from gpen2048.folded.levels import Levels, StripLevels
from gpen2048.folded.passes import TorchPasses
from gpen2048.inference import Network
from gpen2048.network import FullGenerator, NetworkConfig
from numpy.typing import NDArray
from torch import Tensor

CPU = torch.device("cpu")
SMALL = NetworkConfig(128, 1, 1 / 8)  # walked levels of 32 and 16 channels
SHARED = Path(__file__).parents[2] / "shared"
ENGINES: dict[str, Callable[[], Engine]] = {"tiles": choice._tiles, "lanes": choice._lanes}


def random_state(config: NetworkConfig) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(2)
    state = FullGenerator(config).state_dict()
    for key, value in state.items():
        if not key.endswith("kernel"):
            value.copy_(torch.randn(value.shape, generator=generator) * (100 if ".style." in key else 0.7))
    return state


def images(batch: int, size: int) -> Tensor:
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(3)) * 2 - 1


def wanted_of(state: dict[str, Tensor], config: NetworkConfig, batch: int) -> Tensor:
    network = FullGenerator(config).double()
    network.load_state_dict(state)
    with torch.inference_mode():
        return network(images(batch, config.size).double())


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return random_state(SMALL)


@pytest.fixture(scope="module")
def wanted(state: dict[str, Tensor]) -> Tensor:
    return wanted_of(state, SMALL, 2)


@pytest.fixture(params=sorted(ENGINES))
def walked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Levels:
    """Levels by one engine, which networks use."""
    try:
        engine = ENGINES[request.param]()
    except OSError as error:
        pytest.skip(str(error))
    levels = WalkLevels(engine, StripLevels(NumbaPasses()))
    monkeypatch.setattr(inference, "levels_for", lambda device, dtype, config: levels)
    return levels


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("low_memory", [False, True])
def test_float32_is_float32(
    state: dict[str, Tensor],
    wanted: Tensor,
    walked: Levels,
    threads: int,
    low_memory: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)  # odd numbers of rows for each
    network = Network.from_state_dict(SMALL, state)
    network.low_memory = low_memory
    assert (network(images(2, 128)) - wanted).abs().max() / wanted.std() < 1e-4  # 2e-4 is promised


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_done_in_any_order_and_by_any_thread_are_the_same(
    state: dict[str, Tensor], walked: Levels, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    whole = Network.from_state_dict(SMALL, state, dtype=dtype)(images(2, 128))
    chance = random.Random(4)

    class Disordered(Pieces):
        def _next(self, worker: int) -> tuple[int, int] | None:
            with self._lock:
                left = [pieces for pieces in self._left if pieces]
                pieces = chance.choice(left) if left else None
                return chance.choice((pieces.pop, pieces.popleft))() if pieces else None

    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr(walking, "Pieces", Disordered)
    monkeypatch.setattr(walking, "piece_rows", lambda size, threads: 8)
    assert torch.equal(Network.from_state_dict(SMALL, state, dtype=dtype)(images(2, 128)), whole)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_feature_made_again_is_the_stored_one(
    state: dict[str, Tensor], walked: Levels, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, x = Network.from_state_dict(SMALL, state, dtype=dtype), images(2, 128)
    again = network(x)
    made = inference.planned(SMALL, 2, dtype, CPU, walked, frugal=False)
    assert not made.keep_first
    stored = replace(made, keep_first=True)
    monkeypatch.setattr(inference, "planned", lambda *_, **__: stored)
    assert torch.equal(network(x), again)


def test_images_in_any_order_of_memory(state: dict[str, Tensor], walked: Levels) -> None:
    network, x = Network.from_state_dict(SMALL, state), images(2, 128)
    wanted = network(x)
    assert torch.equal(network(x.to(memory_format=torch.channels_last)), wanted)
    assert torch.equal(network(x.permute(0, 1, 3, 2).contiguous().permute(0, 1, 3, 2)), wanted)
    assert torch.equal(network(x.double()), wanted.double())
    grey = x[:, :1].expand(2, 3, 128, 128)
    assert torch.equal(network(grey), network(grey.contiguous()))


def test_wide_rows_are_done_in_parts(walked: Levels) -> None:
    """A row of 512 px has more tiles than are done at once."""
    config = NetworkConfig(512, 1, 1 / 2)
    state = random_state(config)
    network = Network.from_state_dict(config, state)
    wanted = wanted_of(state, config, 1)
    assert (network(images(1, 512)) - wanted).abs().max() / wanted.std() < 1e-4


def test_bfloat16_is_as_near_as_pytorchs(
    state: dict[str, Tensor], wanted: Tensor, walked: Levels, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network.from_state_dict(SMALL, state, dtype=torch.bfloat16)
    seen = (network(images(2, 128)) - wanted).square().mean().sqrt()
    monkeypatch.setattr(inference, "levels_for", lambda device, dtype, config: StripLevels(TorchPasses()))
    assert seen < 1.1 * (network(images(2, 128)) - wanted).square().mean().sqrt()


def test_nothing_of_an_earlier_call_is_left(state: dict[str, Tensor], walked: Levels) -> None:
    network, x = Network.from_state_dict(SMALL, state), images(1, 128)
    before = network(x)
    broken = x.clone()
    broken[..., 40:50, 40:50] = torch.inf
    assert not network(broken).isfinite().all()
    assert torch.equal(network(x), before)


def test_other_weights_in_the_same_place_are_noticed(state: dict[str, Tensor], walked: Levels) -> None:
    network, x = Network.from_state_dict(SMALL, state), images(1, 128)
    before = network(x)
    with torch.no_grad():
        layer = network.convolutions[-1]
        layer.weight.data = layer.weight.data.flip(0).clone()
    assert not torch.equal(network(x), before)


EMULATED = """
import sys
sys.path.insert(0, sys.argv[1])
import emulated_tiles
emulated_tiles.emulate()
import torch
import test_inference_walks as cases
from gpen2048 import choice, inference
from gpen2048.cpu import walking
levels = cases.WalkLevels(choice._tiles(), cases.StripLevels(cases.NumbaPasses()))
inference.levels_for = lambda device, dtype, config: levels
state, x = cases.random_state(cases.SMALL), cases.images(1, 128)
wanted = cases.wanted_of(state, cases.SMALL, 1)
network = inference.Network.from_state_dict(cases.SMALL, state)
for network.low_memory in (False, True):
    assert (network(x) - wanted).abs().max() / wanted.std() < 1e-4
whole = network(x)
torch.get_num_threads = lambda: 3
walking.piece_rows = lambda size, threads: 8
assert torch.equal(network(x), whole)
print("agrees")
"""


def test_walks_on_tiles_are_right_where_there_are_none(tmp_path: Path) -> None:
    """What surrounds the tiles, with the tiles themselves as plain loops."""
    paths = os.pathsep.join(map(str, (SHARED, Path(__file__).parent)))
    environment = {**os.environ, "PYTHONPATH": paths, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", EMULATED, str(Path(__file__).parent)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "agrees", result.stderr[-2000:]


OLDER = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
import test_inference_walks as cases
from gpen2048 import inference
from gpen2048.cpu import lane_products
levels = cases.WalkLevels(cases.choice._lanes(), cases.StripLevels(cases.NumbaPasses()))
inference.levels_for = lambda device, dtype, config: levels
state, x = cases.random_state(cases.SMALL), cases.images(1, 128)
wanted = cases.wanted_of(state, cases.SMALL, 1)
assert (inference.Network.from_state_dict(cases.SMALL, state)(x) - wanted).abs().max() / wanted.std() < 1e-4
print("agrees by", "wide" if lane_products.IS_WIDE else "narrow", "registers")
"""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="another processor's registers")
def test_walks_of_processors_with_fewer_registers(tmp_path: Path) -> None:
    """AVX2, which most people's computers have, as code for it that every newer processor runs."""
    paths = os.pathsep.join(map(str, (SHARED, Path(__file__).parent)))
    target = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma", "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", OLDER, str(Path(__file__).parent)]
    environment = {**os.environ, "PYTHONPATH": paths, **target}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "agrees by narrow registers", result.stderr[-2000:]


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="another processor's registers")
def test_processors_with_too_few_registers_are_left_to_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpen2048.cpu.lane_products.features", lambda: "+sse4.2,-avx,-avx2")
    with pytest.raises(OSError, match="no AVX2"):
        choice._lanes()


@pytest.mark.parametrize("pixels", range(4, 60, 4))
def test_products_of_any_number_of_pixels(pixels: int) -> None:
    """Of 32 inputs and 16 outputs; what lies behind the last pixel is left alone."""
    inputs = np.random.default_rng(pixels).standard_normal((2, pixels, 16), np.float32)
    weights = np.random.default_rng(0).standard_normal((32, 16), np.float32)
    out = np.full((pixels + 1, 16), 7, np.float32)
    products(inputs.ravel(), 0, pixels, pixels * 16, 2, weights.ravel(), 0, out.ravel(), 0)
    assert np.allclose(out[:-1], inputs.transpose(1, 0, 2).reshape(pixels, 32) @ weights, atol=1e-5)
    assert (out[-1] == 7).all()


@pytest.mark.parametrize("exact", [False, True])
def test_packed_weights_hold_every_weight_once(exact: bool) -> None:
    weight = torch.randn(64, 32, 3, 3)
    parts = 2 if exact else 1
    for made, given in ((pack_convolution, weight), (pack_transposed, weight.transpose(0, 1))):
        values = made(given, exact).view(torch.bfloat16).double()
        assert len(values) == weight.numel() * parts
        rounded = weight.bfloat16().double()
        total = rounded.sum() + ((weight - rounded.float()).bfloat16().double().sum() if exact else 0)
        assert values.sum() == pytest.approx(float(total), abs=1e-9)


def test_weights_are_counted_as_they_are_made() -> None:
    """Of SMALL's walked levels: the decoder's at 64 and 128 px, then the encoder's that gives 64."""
    assert SMALL.channels(32) == 64
    up, plain, strided = ((128, 32), (64, 16)), ((64, 32), (32, 16)), (16, 32)  # inputs and outputs
    tiles = [len(pack_transposed(torch.zeros(*shape, 3, 3), True)) for shape in up]
    tiles = [size + len(pack_convolution(torch.zeros(o, i, 3, 3), True)) for size, (i, o) in zip(tiles, plain)]
    tiles.append(len(pack_convolution(torch.zeros(*strided[::-1], 3, 3), True)))
    assert TileWalk(1).packed(SMALL, torch.float32) == tiles
    lanes = [pack(torch.zeros(3, 3, *shape), winograd.plain()).numel() * 4 for shape in (*up, *plain, strided)]
    wanted = [lanes[0] + lanes[2], lanes[1] + lanes[3], lanes[4]]
    assert LaneWalk(1, frugal=False).packed(SMALL, torch.float32) == wanted


@pytest.mark.parametrize("matrix", [winograd.plain, winograd.strided, winograd.transposed])
def test_every_weight_is_somewhere(matrix: Callable[[], NDArray[np.float64]]) -> None:
    """36 kinds of nine taps; a tap that counts for nothing would leave them of lower rank."""
    kinds = torch.from_numpy(matrix())
    assert torch.linalg.matrix_rank(torch.kron(kinds, kinds)) == 9
    weight = torch.randn(3, 3, 16, 32)
    packed = pack(weight, matrix()).view(36, 2, 16, 16)  # kind, block, input, output
    wanted = torch.einsum("kt,tio->kio", torch.kron(kinds, kinds), weight.flatten(0, 1).double())
    assert torch.allclose(packed.permute(0, 2, 1, 3).flatten(2).double(), wanted, atol=1e-5)


def test_only_whole_tiles_are_tiled() -> None:
    for size, multiplier, narrow in ((256, 1, 0.5), (512, 2, 1.0), (1024, 2, 1.0), (2048, 2, 1.0)):
        assert tileable(NetworkConfig(size, multiplier, narrow))  # all that were released
    assert not tileable(NetworkConfig(32, 1, 1.0)) and not tileable(NetworkConfig(128, 1, 1 / 16))


def test_many_threads_leave_small_levels_to_others() -> None:
    """Each would compute the rows around its own again, and read all weights."""
    assert [LaneWalk(threads, frugal=False).covers(64) for threads in (1, 4, 5)] == [True, True, False]
    assert LaneWalk(16, frugal=False).covers(256) and not LaneWalk(1, frugal=True).covers(64)


def test_a_room_holds_every_level_it_is_for() -> None:
    config = NetworkConfig(2048)
    room = LaneWalk(2, frugal=False).room(config, torch.float32)
    assert room == 4 * max(grown(config, resolution)[-1] for resolution in config.resolutions if resolution > 32)


@pytest.fixture
def forgetful() -> object:
    """Nothing that was tried is remembered, before and after."""
    choice._walked.cache_clear()
    yield
    choice._walked.cache_clear()


def test_processors_without_tiles_do_without(
    forgetful: object, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with caplog.at_level("DEBUG", logger=choice.__name__):
        levels = choice.levels_for(CPU, torch.float32, SMALL)
    assert isinstance(levels.walk(SMALL, frugal=False), LaneWalk)
    told = [record for record in caplog.records if "no matrix tiles" in record.getMessage()]
    assert [record.levelname for record in told] == ["DEBUG"]  # as on nearly all processors


def test_without_a_compiler_pytorch_convolves(
    forgetful: object, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "gpen2048.cpu.amx_levels", None)
    monkeypatch.setitem(sys.modules, "gpen2048.cpu.lane_levels", None)
    with caplog.at_level("INFO"):
        assert isinstance(choice.levels_for(CPU, torch.float32, SMALL), StripLevels)
    assert "by lanes" in caplog.text


def test_walks_that_differ_are_not_used(
    forgetful: object, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Wrong(StripLevels):
        def __init__(self, engine: object, others: Levels):
            super().__init__(TorchPasses())

        def grow(self, *arguments: object) -> Tensor | None:
            out = super().grow(*arguments)  # pyright: ignore[reportArgumentType]  handed on as they are
            F.relu_(arguments[3])  # pyright: ignore[reportArgumentType]  the image
            return out

    monkeypatch.setattr(choice, "WalkLevels", Wrong)
    with caplog.at_level("INFO"):
        assert type(choice.levels_for(CPU, torch.float32, SMALL)) is StripLevels
    assert "differs from PyTorch's" in caplog.text
