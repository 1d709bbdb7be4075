"""What stays loaded, where, and what happens when memory runs out."""

from __future__ import annotations

import weakref
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

CPU = torch.device("cpu")


def restore(host: Any, photo: Any) -> Any:
    return host.restorer().restore(photo)


def test_the_network_is_loaded_once_and_again_when_settings_change(
    host: Any, photo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Any] = []
    load = host.equipment.load_network
    monkeypatch.setattr(host.equipment, "load_network", lambda *a, **k: loaded.append(a) or load(*a, **k))
    restore(host, photo)
    restore(host, photo)
    assert len(loaded) == 1
    host.opts["gpen_unload"] = True
    restore(host, photo)
    restore(host, photo)
    assert len(loaded) == 2


def test_a_network_gives_its_memory_back_before_another_takes_its_place(
    host: Any, photo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the thread that had loaded it keeps that, and the host has a thread for every request."""
    done: list[str] = []
    load = host.equipment.load_network
    monkeypatch.setattr(host.equipment, "load_network", lambda *a, **k: done.append("load") or load(*a, **k))
    monkeypatch.setattr(host.equipment, "give_back", lambda: done.append("give back"))
    restore(host, photo)
    restore(host, photo)
    monkeypatch.setattr(host.device, "working_precision", lambda *_: torch.bfloat16)
    restore(host, photo)
    assert done == ["load", "give back", "load"]


def test_the_network_leaves_the_device_when_the_user_wants_that(
    host: Any, photo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves: list[str] = []
    monkeypatch.setattr(host.equipment, "_move", lambda restorer, where: moves.append(str(where)))
    monkeypatch.setattr(host.device, "working_device", lambda: host.equipment.torch.device("cpu", 0))
    restore(host, photo)
    host.opts["face_restoration_unload"] = True
    restore(host, photo)
    assert moves == ["cpu:0", "cpu:0", "cpu"]


def test_forgotten_networks_lose_their_weights_first(host: Any, photo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever restores still holds them when the host is asked to give back what is free."""
    moves: list[str] = []
    monkeypatch.setattr(host.equipment, "_move", lambda restorer, where: moves.append(str(where)))
    monkeypatch.setattr(host.device, "working_device", lambda: torch.device("cpu", 0))
    monkeypatch.setattr(host.devices, "torch_gc", lambda: moves.append("gc"))
    host.opts["gpen_unload"] = True
    restore(host, photo)
    assert moves == ["cpu:0", "meta", "gc"]


def test_what_is_forgotten_takes_no_memory_whoever_holds_it(
    host: Any, photo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    make = host.equipment.FaceRestorer
    monkeypatch.setattr(host.equipment, "FaceRestorer", lambda *parts: made.append(make(*parts)) or made[-1])
    host.opts["gpen_unload"] = True
    before = restore(host, photo)
    assert all(p.is_meta for part in (made[0].network, made[0].detector.network) for p in part.parameters())
    assert np.array_equal(restore(host, photo), before)


def test_memory_is_freed_by_force_where_the_host_knows_that(
    host: Any, photo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SD.Next keeps up to a large part of the device's memory else."""
    forced: list[bool] = []
    monkeypatch.setattr(host.devices, "torch_gc", lambda force=False, fast=False: forced.append(force))
    restore(host, photo)
    host.opts["face_restoration_unload"] = True
    restore(host, photo)
    assert forced == [False, True]


def test_half_precision_is_prepared_where_it_computes(host: Any, photo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    load, seen = host.equipment.load_network, []

    def watched(path: Any, **how: Any) -> Any:
        seen.append((how.get("device"), how["dtype"], list(rooms)))
        return load(path)

    rooms: list[int] = []

    @contextmanager
    def room(required: int, where: Any) -> Any:
        rooms.append(required)
        yield
        rooms.remove(required)

    where = torch.device("cpu", 0)
    monkeypatch.setattr(host.device, "room", room)
    monkeypatch.setattr(host.device, "working_device", lambda: where)
    monkeypatch.setattr(host.equipment, "load_network", watched)
    restore(host, photo)
    monkeypatch.setattr(host.device, "working_precision", lambda *_: torch.float16)
    restore(host, photo)
    assert seen == [(None, torch.float32, []), (where, torch.float16, [2 << 30])]


class Asking:
    def __init__(self, most: int):
        self.network, self.most = torch.nn.Identity(), most

    def memory_required(self, height: int, width: int, *, max_tilt: float = 0) -> int:
        return self.most


def test_room_is_made_for_what_is_not_there_yet(host: Any, photo: Any) -> None:
    restore(host, photo)
    equipment = host.equipment
    network = equipment.EQUIPMENT._kept["network"][1]
    restorer, pixels = equipment.FaceRestorer(network), torch.zeros(3, 10, 10)
    here = equipment._required(restorer, pixels, equipment.RestoreOptions(), CPU)
    demanding = equipment.FaceRestorer(network, Asking(9 << 30))
    asked = equipment._required(demanding, pixels, equipment.RestoreOptions(), CPU)
    assert asked > here + (8 << 30)  # a step that takes more than the network does
    network.to("meta")
    weights = sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())
    assert equipment._required(restorer, pixels, equipment.RestoreOptions(), CPU) == here + weights


def test_it_is_put_away_even_after_a_failure(host: Any, photo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    host.opts["face_restoration_unload"] = True
    moves: list[str] = []
    monkeypatch.setattr(host.equipment, "_move", lambda restorer, where: moves.append(str(where)))
    host.when_detecting.append(lambda: 1 / 0)
    restore(host, photo)
    assert moves == ["cpu", "cpu"] and len(host.devices.torch_gc) == 1


@pytest.mark.parametrize(("where", "released"), [("cpu", 0), ("cuda", 1)])
def test_memory_of_the_forward_pass_is_kept_on_the_cpu_only(host: Any, where: str, released: int) -> None:
    calls: list[int] = []
    network = SimpleNamespace(release=lambda: calls.append(1), low_memory=True)
    host.equipment.EQUIPMENT._put_away(SimpleNamespace(network=network), host.equipment.torch.device(where))
    assert len(calls) == released and not network.low_memory


OUT_OF_MEMORY = [
    torch.cuda.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("MPS backend out of memory (MPS allocated: 8.0 GB)"),
    RuntimeError("Could not allocate tensor with 67108864 bytes. There is not enough GPU video memory available!"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:116] DefaultCPUAllocator: can't allocate memory"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=["CUDA", "MPS", "DirectML", "CPU"])
@pytest.mark.parametrize(("failures", "restored"), [(0, True), (1, True), (2, False)])
def test_out_of_memory_is_met_with_less_memory_once(
    host: Any, photo: Any, monkeypatch: pytest.MonkeyPatch, failures: int, restored: bool, error: Exception
) -> None:
    modes: list[bool] = []
    restorer_class = host.equipment.FaceRestorer
    call = restorer_class.__call__

    def scarce(self: Any, *args: Any, **kwargs: Any) -> Any:
        modes.append(self.network.low_memory)
        if len(modes) <= failures:
            raise error
        return call(self, *args, **kwargs)

    monkeypatch.setattr(restorer_class, "__call__", scarce)
    assert (restore(host, photo) is not photo) == restored
    assert modes == [False, True][: max(1, min(failures + 1, 2))]
    assert restored or "choose a smaller picture" in host.errors_reported[0]


def test_what_a_failed_restoration_held_is_free_before_the_checkpoint_comes_back(
    host: Any, photo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[Any] = []
    alive: list[object] = []

    @contextmanager
    def room(required: int, where: Any) -> Any:
        try:
            yield
        finally:
            alive.append(held[0]())

    def work_and_fail(self: Any, *_: Any, **__: Any) -> None:
        work = torch.zeros(10)
        held.append(weakref.ref(work))
        raise ValueError("in the middle of it")

    monkeypatch.setattr(host.device, "room", room)
    monkeypatch.setattr(host.equipment.FaceRestorer, "__call__", work_and_fail)
    assert restore(host, photo) is photo
    assert alive == [None] and "in the middle of it" in host.errors_reported[0]


def test_scales_of_half_precision_are_chosen_on_the_cpu_where_the_device_is_full(
    host: Any, photo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, devices = host.equipment.load_network, []

    def scarce(path: Any, **how: Any) -> Any:
        devices.append(how.get("device"))
        if how.get("device") is not None:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return load(path)

    where = torch.device("cpu", 0)
    monkeypatch.setattr(host.device, "working_device", lambda: where)
    monkeypatch.setattr(host.device, "working_precision", lambda *_: torch.float16)
    monkeypatch.setattr(host.equipment, "load_network", scarce)
    assert restore(host, photo) is not photo
    assert devices == [where, None]


@pytest.mark.parametrize(
    ("where", "precision", "told"),
    [
        ("cpu", "automatic", "choose a smaller scale or picture"),
        ("cuda", "fp16", "choose a smaller scale or picture, or start with --use-cpu gpen"),
        (
            "cuda",
            "fp32",
            "choose precision fp16 in Settings > GPEN-2048, a smaller scale or picture, or start with --use-cpu gpen",
        ),
    ],
)
def test_what_may_help_against_too_little_memory(
    host: Any, monkeypatch: pytest.MonkeyPatch, where: str, precision: str, told: str
) -> None:
    monkeypatch.setattr(host.device, "working_device", lambda: torch.device(where))
    host.opts["gpen_precision"] = precision
    assert host.attempts.sentence(MemoryError("no room")) == f"no room; {told}"
