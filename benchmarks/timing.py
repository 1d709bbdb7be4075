"""Shared by the benchmarks: workers that are timed in turns, and what a process used."""

from __future__ import annotations

import ctypes
import itertools
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "numpy", "numba", "triton", "onnxruntime", "onnx")


@dataclass(frozen=True)
class Sample:
    """Seconds of one run: on the clock, and of all the process's threads in user and in system mode."""

    wall: float
    user: float
    system: float


def timed(work: Callable[[], object]) -> Sample:
    """`work` must not return before the device is done."""
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    work()
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    return Sample(wall, after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime)


def timed_on_cuda(work: Callable[[], object], times: int = 50) -> Sample:
    """The median of so many runs by CUDA's own clock, after three that compile and record; processor time is a mean."""
    import torch

    for _ in range(3):
        work()
    before = resource.getrusage(resource.RUSAGE_SELF)
    events = [torch.cuda.Event(enable_timing=True) for _ in range(times + 1)]
    events[0].record()
    for event in events[1:]:
        work()
        event.record()
    torch.cuda.synchronize()
    after = resource.getrusage(resource.RUSAGE_SELF)
    wall = statistics.median(a.elapsed_time(b) for a, b in itertools.pairwise(events)) / 1000
    return Sample(wall, (after.ru_utime - before.ru_utime) / times, (after.ru_stime - before.ru_stime) / times)


def resident_bytes(field: str) -> int | None:
    """VmRSS (now) or VmHWM (at most) of this process; None where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def trim() -> None:
    """Gives free memory back to the system where its C library can, so that taking it again shows."""
    release = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if release is not None:
        release(0)


def forget_peak() -> None:
    """Makes VmHWM start anew from the memory held now (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def serve(
    clock: Callable[[Callable[[], object]], Sample], work: Callable[[], object], peak: Callable[[], int | None]
) -> None:
    """The worker's side: one run for every line on standard input, then its peak of memory."""
    print(json.dumps("ready"), flush=True)
    for _ in sys.stdin:
        print(json.dumps(asdict(clock(work))), flush=True)
    print(json.dumps(peak()), flush=True)


class Worker:
    """A process of its own, loaded and waiting; runs when told."""

    def __init__(self, script: Path, task: dict[str, Any]):
        command = [sys.executable, str(script), "--worker", json.dumps(task)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()

    def run(self) -> Sample:
        assert self._process.stdin is not None
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        return Sample(**self._answer())

    def finish(self) -> int | None:
        """Ends the process; its peak of memory over what it had loaded, bytes."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        peak: int | None = self._answer()
        self._process.wait()
        return peak

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                return json.loads(line)
            except ValueError:
                continue  # a library's own message
        raise RuntimeError(f"worker ended with exit status {self._process.wait()}")


def in_turns(workers: dict[str, Worker], rounds: int) -> dict[str, list[Sample]]:
    """Every worker once to warm up, then `rounds` times one after the other, so that a busy machine slows all alike."""
    for worker in workers.values():
        worker.run()
    samples: dict[str, list[Sample]] = {name: [] for name in workers}
    for _ in range(rounds):
        for name, worker in workers.items():
            samples[name].append(worker.run())
    return samples


def summary(samples: list[Sample]) -> dict[str, float]:
    """Medians, and the shortest time on the clock, seconds."""
    medians = {name: statistics.median(getattr(s, name) for s in samples) for name in ("wall", "user", "system")}
    return {**medians, "wall_min": min(s.wall for s in samples)}


def ratio(slow: list[Sample], fast: list[Sample], field: str) -> dict[str, float]:
    """Of neighbouring runs: median, least and most."""
    ratios = [getattr(a, field) / max(getattr(b, field), 1e-9) for a, b in zip(slow, fast)]
    return {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}


def machine(device: str) -> dict[str, Any]:
    """Where and with what a result was measured."""
    import torch

    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else _processor()
    versions = {package: _version(package) for package in PACKAGES}
    if device.startswith("cuda"):
        versions |= {"cuda": torch.version.cuda, "cudnn": str(torch.backends.cudnn.version())}
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "device": name,
        **({} if device.startswith("cuda") else {"instructions": _instructions()}),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {package: version for package, version in versions.items() if version is not None},
    }


def todays(name: str) -> Path:
    """Where today's result goes; processors of other instructions have one of their own."""
    which = "".join(f"-{word.lower()}" for word in _instructions()) if name.endswith("-cpu") else ""
    return RESULTS / f"{name}{which}-{datetime.now(timezone.utc):%Y-%m-%d}.json"


def save(name: str, content: dict[str, Any]) -> Path:
    """Writes benchmarks/results/NAME-DATE.json, for a CPU NAME-INSTRUCTIONS-DATE.json."""
    RESULTS.mkdir(exist_ok=True)
    path = todays(name)
    path.write_text(json.dumps(content, indent=2) + "\n")
    return path


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _instructions() -> list[str]:
    """What decides about the network's speed: the widest vectors, and matrix tiles."""
    import torch

    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        flags = ""
    return [torch.backends.cpu.get_cpu_capability(), *(["AMX"] if "amx_tile" in flags else [])]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
