"""How many workers a cluster has room for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

GPU_WORKER_CORES = 4  # at most; decoding and encoding keep pace with one GPU on fewer


@dataclass(frozen=True)
class Places:
    """How many workers there are to be, and what each of them takes."""

    workers: int
    cpus: int
    gpus: int

    @property
    def described(self) -> str:
        gpus = f", {self.gpus} GPU" if self.gpus else ""
        return f"workers   {self.workers}, each with {self.cpus} CPU{'s' if self.cpus > 1 else ''}{gpus}"


def places(nodes: Sequence[Mapping[str, float]], cores: int) -> Places:
    """One worker for each GPU if there are any, else for each `cores` CPUs of a node; at least one.

    `nodes` are the resources of each machine as Ray has them, "CPU" and "GPU" among them.
    """
    with_gpu = [(int(node["GPU"]), int(node.get("CPU", 1))) for node in nodes if node.get("GPU", 0) >= 1]
    if with_gpu:
        cpus = min(max(1, cpus // gpus) for gpus, cpus in with_gpu)
        return Places(sum(gpus for gpus, _ in with_gpu), min(cpus, GPU_WORKER_CORES), 1)
    all_cpus = [int(node.get("CPU", 0)) for node in nodes]
    cpus = max(1, min(cores, max(all_cpus, default=1)))
    return Places(max(1, sum(count // cpus for count in all_cpus)), cpus, 0)
