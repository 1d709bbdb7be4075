"""Recordings of forward passes: when they are made, used, refused and dropped. A stand-in records without a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from gpen2048 import inference
from gpen2048.gpu import cuda_graphs
from gpen2048.gpu.cuda_graphs import Recorder, Recording, Recordings, Run
from gpen2048.inference import Network
from gpen2048.network import NetworkConfig
from gpen2048.weight_files.passthrough import passthrough_state_dict
from torch import Tensor

CONFIG = NetworkConfig(64, 1, 0.125)
X = torch.linspace(-1, 1, 12).reshape(1, 3, 2, 2)


class Clock:
    """Stands still but when told that something takes its time."""

    seconds = 0


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(work: Callable[[], object], device: torch.device) -> float:
        before = Clock.seconds
        work()
        return Clock.seconds - before

    monkeypatch.setattr(cuda_graphs, "_seconds", measured)


class Launched:
    """Doubles; counts how often it was launched, a second each."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, x: Tensor, image: Tensor) -> None:
        self.times += 1
        Clock.seconds += 1
        image.copy_(2 * x)


def quick(x: Tensor, image: Tensor, run: Run) -> Recording:
    """As CUDA's, of a pass that doubles: launches once, replays without."""
    source, target = x.clone(), torch.empty_like(image)
    run(source, target)
    return Recording(source, target, lambda: void(target.copy_(2 * source)))


def slow(x: Tensor, image: Tensor, run: Run) -> Recording:
    recording = quick(x, image, run)

    def replay() -> None:
        Clock.seconds += 1
        recording.replay()

    return Recording(recording.x, recording.image, replay)


def wrong(x: Tensor, image: Tensor, run: Run) -> Recording:
    recording = quick(x, image, run)
    return Recording(recording.x, recording.image, lambda: void(recording.image.zero_()))


def dead(x: Tensor, image: Tensor, run: Run) -> Recording:
    """Paints nothing when it is replayed."""
    source, target = x.clone(), torch.empty_like(image)
    run(source, target)
    return Recording(source, target, lambda: None)


def impossible(x: Tensor, image: Tensor, run: Run) -> Recording:
    raise RuntimeError("operation not permitted when stream is capturing")


def void(_: object) -> None:
    pass


def play(recordings: Recordings, launched: Launched, x: Tensor = X, weights: object = "here") -> int:
    """How often the pass was launched for `x`, whose result must be right."""
    before, image = launched.times, torch.empty_like(x)
    recordings.run(weights, x, image, launched)
    assert torch.equal(image, 2 * x)
    return launched.times - before


def test_the_third_pass_of_a_kind_is_replayed() -> None:
    recordings, launched = Recordings(lambda: quick), Launched()
    assert [play(recordings, launched, X / n) for n in (1, 2, 3, 4)] == [1, 2, 0, 0]


def test_other_shapes_have_recordings_of_their_own() -> None:
    recordings, launched, two = Recordings(lambda: quick), Launched(), X.repeat(2, 1, 1, 1)
    assert [play(recordings, launched, x) for x in (X, two, X, two, X, two)] == [1, 1, 2, 2, 0, 0]


def test_recordings_of_a_stream_share_their_memory() -> None:
    """Batches of one to four faces would else hold as much as ten."""
    made: list[bool] = []

    def recorder() -> Callable[[Tensor, Tensor, Run], Recording]:
        made.append(True)
        return quick

    recordings, launched = Recordings(recorder), Launched()
    for x in (X, X, X.repeat(2, 1, 1, 1), X.repeat(2, 1, 1, 1)):
        play(recordings, launched, x)
    assert len(made) == 1
    recordings.clear()
    play(recordings, launched)
    play(recordings, launched)
    assert len(made) == 2


def test_moved_weights_and_clearing_drop_recordings() -> None:
    recordings, launched = Recordings(lambda: quick), Launched()
    assert [play(recordings, launched) for _ in range(3)] == [1, 2, 0]
    assert [play(recordings, launched, weights="there") for _ in range(3)] == [1, 2, 0]
    recordings.clear()
    assert play(recordings, launched, weights="there") == 1


@pytest.mark.parametrize("record", [slow, wrong, dead, impossible])
def test_what_gains_nothing_differs_or_cannot_be_recorded_is_launched(
    record: Callable[[Tensor, Tensor, Run], Recording],
) -> None:
    recordings, launched = Recordings(lambda: record), Launched()
    assert [play(recordings, launched) > 0 for _ in range(4)] == [True] * 4
    assert play(recordings, launched) == 1


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    """One that records on the CPU too."""
    monkeypatch.setattr(inference, "recordable_on", lambda device: True)
    made = Network.from_state_dict(CONFIG, passthrough_state_dict(CONFIG))
    made.graphs = True
    return made


def test_a_network_tells_as_many_stages_and_gives_as_much_when_it_replays(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    launch, stages, launches = network._launch, [0], [0]

    def counted(*args: Any, **named: Any) -> None:
        launches[0] += 1
        Clock.seconds += 1
        launch(*args, **named)

    monkeypatch.setattr(network, "_launch", counted)
    monkeypatch.setattr(network, "_recordings", Recordings(lambda: quick_network))
    seen = []
    for _ in range(4):
        stages[0] = launches[0] = 0
        image = network(x, on_stage=lambda: void(stages.append(stages.pop() + 1)))
        seen.append((stages[0], launches[0]))
        assert torch.allclose(image, x, atol=1e-5)
    network.graphs = False
    stages[0] = 0
    network(x, on_stage=lambda: void(stages.append(stages.pop() + 1)))
    assert [told for told, _ in seen] == [stages[0]] * 4
    assert [launched for _, launched in seen] == [1, 2, 0, 0]


def quick_network(x: Tensor, image: Tensor, run: Run) -> Recording:
    """Of a network that gives back what it gets."""
    source, target = x.clone(), torch.empty_like(image)
    run(source, target)
    return Recording(source, target, lambda: void(target.copy_(source)))


def test_an_exception_from_a_stage_passes_through(network: Network) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        network(torch.zeros(1, 3, 64, 64), on_stage=stop)


def test_release_drops_recordings(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    dropped: list[bool] = []
    monkeypatch.setattr(network._recordings, "clear", lambda: dropped.append(True))
    network.release()
    assert dropped


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_replays_what_it_launched() -> None:
    network = Network.from_state_dict(CONFIG, passthrough_state_dict(CONFIG)).to("cuda")
    x = torch.rand(1, 3, 64, 64, device="cuda") * 2 - 1
    wanted = network(x)
    recording = Recorder()(x, wanted, lambda a, b: network._launch(a, b, torch.float32, lambda: None))
    seen = torch.empty_like(wanted)
    recording.play(x, seen)
    assert torch.equal(seen, wanted)
