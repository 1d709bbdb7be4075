"""Photos, faces and networks that several tests use."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gpen2048.faces import Face
from gpen2048.images import read_image
from gpen2048.inference import Network
from gpen2048.network import NetworkConfig
from gpen2048.weight_files.passthrough import passthrough_state_dict
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

TESTS = Path(__file__).parent
TINY = NetworkConfig(64, 1, 0.25)  # the smallest network wide enough to carry RGB


@pytest.fixture(scope="session")
def photo_path() -> Path:
    return TESTS / "data" / "solvay-1927.png"


@pytest.fixture(scope="session")
def group_photo(photo_path: Path) -> Tensor:
    """The Solvay photo, (3, 568, 1328), with 29 faces of about 45 px."""
    return read_image(photo_path).pixels


@pytest.fixture(scope="session")
def golden_alignment() -> Any:
    return json.loads((TESTS / "golden" / "alignment.json").read_text())


@pytest.fixture(scope="session")
def group_faces(golden_alignment: Any) -> list[Face]:
    """The 29 faces of the Solvay photo, found by a real detector."""
    return [Face(np.array(f["box"]), np.array(f["landmarks"]), f["score"]) for f in golden_alignment["faces"]]


@pytest.fixture(scope="session")
def portrait() -> Tensor:
    """scikit-image's astronaut, (3, 512, 512): sharp, one face of about 100 px."""
    data = pytest.importorskip("skimage.data", reason="needs scikit-image for its portrait")
    return torch.from_numpy(data.astronaut().copy()).permute(2, 0, 1).float() / 255


@pytest.fixture(scope="session")
def portrait_face() -> Face:
    landmarks = [[204, 113], [246, 111], [226, 141], [207, 157], [245, 156]]
    return Face(np.array([176.0, 64, 272, 184]), np.array(landmarks, float), 1.0)


class StandIn:
    """In a network's place: does `effect` to crops (N, 3, S, S), RGB in [0, 1]."""

    def __init__(self, effect: Callable[[Tensor], Tensor], size: int):
        self.config = NetworkConfig(size)
        self._effect = effect

    def __call__(self, crops: Tensor, **_: Any) -> Tensor:
        return self._effect(crops / 2 + 0.5) * 2 - 1


@pytest.fixture(scope="session")
def network_that() -> Any:
    """Makes a stand-in for a network, of 256 px, from what it does."""
    return lambda effect, size=256: StandIn(effect, size)


@pytest.fixture(scope="session")
def tiny_passthrough() -> Network:
    """A 64 px network that returns its input."""
    return Network.from_state_dict(TINY, passthrough_state_dict(TINY))


@pytest.fixture(scope="session")
def passthrough_2048() -> Network:
    """A network of the released size that returns its input."""
    config = NetworkConfig(2048)
    return Network.from_state_dict(config, passthrough_state_dict(config))


@pytest.fixture
def peak_bytes_of() -> Callable[[Callable[[], object]], int]:
    """Bytes that PyTorch's CPU allocator handed out during a call and did not get back yet, at most."""

    def measure(work: Callable[[], object]) -> int:
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
            work()
        events = [event for event in record.profiler.kineto_results.events() if event.name() == "[memory]"]
        clock = "start_ns" if hasattr(events[0], "start_ns") else "start_us"
        live = peak = 0
        for event in sorted(events, key=lambda event: getattr(event, clock)()):
            live += event.nbytes()
            peak = max(peak, live)
        return peak

    return measure


@pytest.fixture(scope="session")
def unsearchable() -> Callable[[pytest.MonkeyPatch, Path], None]:
    """Makes a folder one in which nobody can look up files, which a superuser always could."""
    original = Path.stat

    def forbid(patch: pytest.MonkeyPatch, folder: Path) -> None:
        def refusing(path: Path, **how: Any) -> Any:
            if folder in path.parents:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return original(path, **how)

        patch.setattr(Path, "stat", refusing)

    return forbid


@pytest.fixture(scope="session")
def spoiled() -> Callable[[Path, Path, int], Path]:
    """Copies a film with the packet of one picture made useless, as a disk may do it; needs PyAV."""

    def spoil(film: Path, target: Path, number: int) -> Path:
        import av

        with av.open(str(film)) as source, av.open(str(target), "w") as container:
            streams = {stream.index: container.add_stream_from_template(stream) for stream in source.streams}
            seen = 0
            for packet in source.demux():
                if packet.dts is None:
                    continue
                made: Any = packet
                if packet.stream.type == "video":
                    seen += 1
                    made = _useless(packet) if seen == number + 1 else packet
                made.stream = streams[packet.stream.index]
                container.mux(made)
        return target

    return spoil


def _useless(packet: Any) -> Any:
    import av

    made = av.Packet(b"\xff" * packet.size)
    made.stream, made.pts, made.dts, made.duration = packet.stream, packet.pts, packet.dts, packet.duration
    made.time_base, made.is_keyframe = packet.time_base, packet.is_keyframe
    return made
