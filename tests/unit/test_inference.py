"""The folded network against the readable one, on small random networks."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable

import pytest
import torch
from gpen2048 import inference
from gpen2048.compiled.numba_passes import NumbaPasses
from gpen2048.cpu.amx_room import TileWalk
from gpen2048.cpu.lane_room import LaneWalk
from gpen2048.folded import planning
from gpen2048.folded.levels import StripLevels
from gpen2048.folded.memory import peak_bytes
from gpen2048.folded.passes import TorchPasses
from gpen2048.folded.walks import Walk
from gpen2048.inference import Network
from gpen2048.network import FullGenerator, NetworkConfig
from gpen2048.weight_files.passthrough import passthrough_state_dict
from torch import Tensor, nn

CONFIG = NetworkConfig(size=64, channel_multiplier=1, narrow=0.125)
WALKED = NetworkConfig(size=64, channel_multiplier=1, narrow=0.25)  # as wide as compiled walks want it
# Bytes that a convolution of torch 2.1 takes for itself in bfloat16, on two threads, or that one which doubles does not
# take of what later ones do.
SCRATCH = 4_500_000 if torch.__version__.startswith("2.1.") else 2_500_000
LEVEL = 2 / 255  # one step of 8 bits in [-1, 1]
State = dict[str, Tensor]
PeakBytesOf = Callable[[Callable[[], object]], int]


def random_state(config: NetworkConfig = CONFIG, seed: int = 0) -> State:
    """Weights whose activations keep about unit variance, as trained ones do."""
    generator = torch.Generator().manual_seed(seed)
    state = FullGenerator(config).state_dict()
    for key, value in state.items():
        if key.endswith("kernel"):
            continue
        normal = torch.randn(value.shape, generator=generator)
        if key.endswith(("modulation.bias", "noise.weight")):
            value.copy_(0.7 + 0.1 * normal)
        elif key.endswith("bias"):
            value.copy_(0.1 * normal)
        else:
            value.copy_(normal * (100 if ".style." in key else 1))
    return state


def random_images(batch: int = 1, size: int = 64) -> Tensor:
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def reference(state: State, x: Tensor, config: NetworkConfig = CONFIG) -> Tensor:
    network = FullGenerator(config)
    network.load_state_dict(state)
    with torch.inference_mode():
        return network(x)


def error(seen: Tensor, wanted: Tensor) -> float:
    """Largest difference in standard deviations of the wanted output."""
    return float((seen - wanted).abs().max() / wanted.std())


@pytest.fixture(params=["fastest", "compiled", "plain"])
def levels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Walks where they work, compiled passes, plain PyTorch."""
    chosen = {"compiled": lambda: StripLevels(NumbaPasses()), "plain": lambda: StripLevels(TorchPasses())}
    if request.param in chosen:
        monkeypatch.setattr(inference, "levels_for", lambda device, dtype, config: chosen[request.param]())
    return request.param


@pytest.fixture
def small_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strips that even these small networks are cut into."""
    monkeypatch.setattr(planning, "STRIP_ROWS", 16)
    monkeypatch.setattr(planning, "LOW_MEMORY_ROWS", 8)


@pytest.mark.parametrize("low_memory", [False, True])
@pytest.mark.parametrize("config", [CONFIG, NetworkConfig(32, 2, 0.25), NetworkConfig(8, 1, 0.0625)])
def test_equals_the_reference_in_strips(
    config: NetworkConfig, low_memory: bool, levels: str, small_strips: None
) -> None:
    state, x = random_state(config), random_images(2, config.size)
    network = Network.from_state_dict(config, state)
    network.low_memory = low_memory
    assert error(network(x), reference(state, x, config)) < 2e-5


def test_whole_levels_and_strips_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = Network.from_state_dict(CONFIG, random_state()), random_images(2)
    whole = network(x)
    for rows in (8, 16, 32):
        monkeypatch.setattr(planning, "STRIP_ROWS", rows)
        assert error(network(x), whole) < 5e-6


def test_a_batch_is_its_images(levels: str, small_strips: None) -> None:
    network, x = Network.from_state_dict(CONFIG, random_state()), random_images(3)
    one_by_one = torch.cat([network(image[None]) for image in x])
    assert error(network(x), one_by_one) < 5e-6


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_gives_back_the_type_it_takes(dtype: torch.dtype) -> None:
    network, x = Network.from_state_dict(CONFIG, random_state()), random_images().to(dtype)
    y = network(x)
    assert y.dtype == dtype
    assert error(y.float(), network(x.float())) < 4 * torch.finfo(dtype).eps + 1e-6


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 1, 64, 64), (1, 3, 32, 64)])
def test_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    network = Network.from_state_dict(CONFIG, random_state())
    with pytest.raises(ValueError, match=r"expected.*\(N, 3, 64, 64\).*got"):
        network(torch.zeros(shape))


def test_no_images_give_none() -> None:
    assert Network.from_state_dict(CONFIG, random_state())(torch.zeros(0, 3, 64, 64)).shape == (0, 3, 64, 64)


def test_refuses_whole_numbers() -> None:
    with pytest.raises(ValueError, match="uint8"):
        Network.from_state_dict(CONFIG, random_state())(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))


def test_the_result_may_be_changed_in_place() -> None:
    y = Network.from_state_dict(CONFIG, random_state())(random_images())
    y += 1
    assert not y.is_inference() and not torch.is_inference_mode_enabled()


def test_the_state_dict_is_left_as_it_was() -> None:
    state = random_state()
    Network.from_state_dict(CONFIG, state, dtype=torch.float16)(random_images())
    assert all(torch.equal(state[key], value) for key, value in random_state().items())


def test_autocast_of_a_host_changes_nothing() -> None:
    network, x = Network.from_state_dict(CONFIG, random_state()), random_images()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = network(x)
    assert torch.equal(inside, network(x))


def test_cancel_within_a_call_leaves_a_valid_state() -> None:
    network, x = Network.from_state_dict(CONFIG, random_state()), random_images()
    wanted = network(x)
    calls: list[int] = []
    network(x, on_stage=lambda: calls.append(0))
    assert len(calls) == 2 * len(CONFIG.resolutions) - 1

    def stop() -> None:
        remaining.pop()

    for number in range(len(calls)):
        remaining = calls[:number]
        with pytest.raises(IndexError, match="pop from empty list"):
            network(x, on_stage=stop)
        assert torch.equal(network(x), wanted)


def test_threads_do_not_disturb_each_other() -> None:
    network = Network.from_state_dict(CONFIG, random_state())
    images = random_images(4)
    wanted = [network(image[None]) for image in images]
    seen: dict[int, list[Tensor]] = {}

    def work(number: int) -> None:
        seen[number] = [network(images[number : number + 1]) for _ in range(4)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(error(y, wanted[number]) < 5e-6 for number, results in seen.items() for y in results)


def test_parameters_are_in_leaves_so_that_hosts_can_offload() -> None:
    network = Network.from_state_dict(CONFIG, random_state())
    inner = [module for module in network.modules() if any(True for _ in module.children())]
    assert not any(True for module in inner for _ in module.parameters(recurse=False))
    assert not any(True for module in inner for _ in module.buffers(recurse=False))
    assert not hasattr(network, "device")
    network.device = "cpu"  # ComfyUI sets it
    assert isinstance(network, nn.Module)


def test_a_network_kept_in_half_precision_runs_on() -> None:
    state, x = random_state(), random_images()
    network = Network.from_state_dict(CONFIG, state).to(torch.bfloat16)
    assert error(network(x), reference(state, x)) < 0.1


@pytest.fixture(scope="module")
def larger() -> tuple[NetworkConfig, State]:
    """Large enough for its activations to outweigh everything else."""
    config = NetworkConfig(size=256, channel_multiplier=1, narrow=0.25)
    return config, random_state(config)


@pytest.mark.parametrize("batch, dtype", [(1, torch.float32), (2, torch.float32), (1, torch.bfloat16)])
def test_memory_required_is_the_measured_peak(
    larger: tuple[NetworkConfig, State], dtype: torch.dtype, batch: int, levels: str, peak_bytes_of: PeakBytesOf
) -> None:
    config, state = larger
    network = Network.from_state_dict(config, state, dtype=dtype)
    x = random_images(batch, config.size)
    network(x)
    for network.low_memory in (False, True):
        network.release()
        peak = peak_bytes_of(lambda: network(x))
        assert network.memory_required(batch) == pytest.approx(peak, rel=0.15, abs=SCRATCH)


@pytest.mark.parametrize(
    "walk, most", [(lambda _: None, 0.7), (lambda _: TileWalk(2), 0.97), (lambda frugal: LaneWalk(2, frugal), 0.75)]
)
def test_low_memory_needs_less(
    walk: Callable[[bool], Walk | None], most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu, levels = torch.device("cpu"), StripLevels(NumbaPasses())
    monkeypatch.setattr(levels, "walk", lambda _, *, frugal: walk(frugal))
    config = NetworkConfig(2048)
    normal, low = (
        peak_bytes(planning.planned(config, 1, torch.float32, cpu, levels, frugal=frugal), cpu, plain=False)
        for frugal in (False, True)
    )
    assert low < most * normal < most * 1e9


def test_release_gives_the_kept_memory_back(peak_bytes_of: PeakBytesOf) -> None:
    network, x = Network.from_state_dict(CONFIG, random_state()), random_images()
    first = network(x)
    kept = peak_bytes_of(lambda: network(x))
    network.release()
    assert peak_bytes_of(lambda: network(x)) > kept + network.memory_required() // 2
    assert torch.equal(network(x), first)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
def test_a_copy_is_a_network_of_its_own(copied: Callable[[Network], Network]) -> None:
    network, x = Network.from_state_dict(WALKED, random_state(WALKED)), random_images(1, WALKED.size)
    wanted = network(x)
    twin = copied(network)
    network.load_state_dict(Network.from_state_dict(WALKED, passthrough_state_dict(WALKED)).state_dict())
    assert torch.equal(twin(x), wanted) and not torch.equal(network(x), wanted)


def test_what_is_kept_outlives_a_move_to_where_it_is() -> None:
    """A host moves a network to the CPU before each picture, wherever it is."""
    network = Network.from_state_dict(WALKED, random_state(WALKED))
    network(random_images(1, WALKED.size))
    kept = list(network._kept)
    assert network.to("cpu")._kept == kept != []
    assert network.to(torch.float64)._kept == []


def test_weights_that_were_moved_or_written_to_are_seen() -> None:
    """Packed copies of the old ones are kept by place, which may become another weight's."""
    network, x = Network.from_state_dict(WALKED, random_state(WALKED)), random_images(1, WALKED.size)
    wanted = network(x)
    for number in range(4):
        network.to(torch.float64)
        between = [torch.rand(100 * number + 50) for _ in range(20)]
        network.to(torch.float32)
        assert torch.equal(network(x), wanted), f"after {len(between)} tensors"
    other = Network.from_state_dict(WALKED, passthrough_state_dict(WALKED))
    for layer, its in zip(network.modules(), other.modules()):  # as hosts do it, one by one
        layer._parameters = dict(its._parameters)
    assert torch.equal(network(x), other(x))
    network.load_state_dict(Network.from_state_dict(WALKED, random_state(WALKED)).state_dict())
    assert torch.equal(network(x), wanted)


def test_built_in_a_hosts_inference_mode_it_can_be_moved_outside() -> None:
    x = random_images(1, WALKED.size)
    with torch.inference_mode():
        network = Network.from_state_dict(WALKED, random_state(WALKED))
    wanted = network(x)
    network.to(torch.float64)
    network.to(torch.float32)
    assert torch.equal(network(x), wanted)


def test_low_memory_is_what_the_network_then_asks_for() -> None:
    config = NetworkConfig(512, 1, 0.5)
    network = Network.from_state_dict(config, passthrough_state_dict(config))
    usual = network.memory_required()
    network.low_memory = True
    assert network.memory_required() < 0.75 * usual
