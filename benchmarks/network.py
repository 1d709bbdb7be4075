"""The folded network against the readable one and onnxruntime: time, processor time, memory.

    python benchmarks/network.py --sizes 512 2048 --rounds 5

Every contender is a process of its own and runs in turn with the others of its group; ratios are medians over
neighbouring runs. Weights are random (tests/golden/recipe.py): times do not depend on them.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timing
import torch
from gpen2048.inference import Network
from gpen2048.network import FullGenerator, NetworkConfig

GOLDEN = Path(__file__).parent.parent / "tests" / "golden"
CONFIGS = {256: NetworkConfig(256, 1, 0.5), **{size: NetworkConfig(size) for size in (512, 1024, 2048)}}
Task = dict[str, Any]
Run = Callable[[], object]


def main() -> None:
    """Measures and writes one JSON file."""
    options = _options()
    if options.worker:
        _work(json.loads(options.worker))
        return
    result: dict[str, Any] = {"machine": timing.machine(options.device), "rounds": options.rounds, "runs": []}
    for size in options.sizes:
        for batch in options.batches:
            result["runs"].append(_compare(size, batch, options))
    kind = options.device.split(":")[0]
    print(f"written to {timing.save(f'network-{kind}', result)}")


def _compare(size: int, batch: int, options: argparse.Namespace) -> dict[str, Any]:
    """All contenders of one size against each baseline in turn."""
    run: dict[str, Any] = {"size": size, "batch": batch, "against": {}}
    with tempfile.TemporaryDirectory() as folder:
        task = {"size": size, "batch": batch, "device": options.device, "model": str(Path(folder) / "network.onnx")}
        if "onnxruntime" in options.baselines:
            timing.Worker(Path(__file__), {**task, "kind": "export"}).finish()
        for baseline in options.baselines:
            run["against"][baseline] = _group(baseline, task, options)
    return run


def _group(baseline: str, task: Task, options: argparse.Namespace) -> dict[str, Any]:
    tasks: dict[str, Task] = {baseline: {**task, "kind": baseline}}
    for precision in options.precisions:
        for low_memory in (False, True) if options.low_memory else (False,):
            name = f"{precision}{' low_memory' if low_memory else ''}"
            tasks[name] = {**task, "kind": "folded", "precision": precision, "low_memory": low_memory}
    workers = {name: timing.Worker(Path(__file__), described) for name, described in tasks.items()}
    samples = timing.in_turns(workers, options.rounds)
    table: dict[str, Any] = {}
    for name, worker in workers.items():
        table[name] = {**timing.summary(samples[name]), "peak_bytes_over_loaded": worker.finish()}
        for field in ("wall", "user"):
            table[name][f"{field}_speedup"] = timing.ratio(samples[baseline], samples[name], field)
        _show(task, name, table[name])
    return table


def _show(task: Task, name: str, row: dict[str, Any]) -> None:
    memory = row["peak_bytes_over_loaded"]
    print(
        f"{task['size']:5d} px x{task['batch']}  {name:24s} {row['wall']:7.2f} s, processor {row['user']:6.2f} s, "
        f"{row['wall_speedup']['median']:5.2f}x (processor {row['user_speedup']['median']:5.2f}x), "
        + ("" if memory is None else f"{memory / 1e9:5.2f} GB"),
        flush=True,
    )


def _work(task: Task) -> None:
    """A worker's whole life."""
    torch.set_grad_enabled(False)
    if task["kind"] == "export":
        timing.serve(lambda: None, lambda: _export(task))
        return
    run = {"folded": _folded, "reference": _reference, "onnxruntime": _onnxruntime}[task["kind"]](task)
    gc.collect()
    if task["device"].startswith("cuda"):
        loaded = torch.cuda.memory_allocated()
        timing.serve(lambda: (run(), torch.cuda.synchronize()), lambda: torch.cuda.max_memory_allocated() - loaded)
        return
    timing.forget_peak()
    resident = timing.resident_bytes("VmRSS")
    timing.serve(run, lambda: None if resident is None else (timing.resident_bytes("VmHWM") or 0) - resident)


def _folded(task: Task) -> Run:
    config = CONFIGS[task["size"]]
    network = Network.from_state_dict(config, _state(config), dtype=getattr(torch, task["precision"]))
    network.to(task["device"]).low_memory = task["low_memory"]
    network.memory_required(task["batch"])  # chooses and compiles, as onnxruntime does when it loads
    x = _images(task)
    return lambda: network(x)


def _reference(task: Task) -> Run:
    config = CONFIGS[task["size"]]
    network = FullGenerator(config)
    network.load_state_dict(_state(config))
    network.to(task["device"])
    x = _images(task)
    return lambda: network(x)


def _onnxruntime(task: Task) -> Run:
    import onnxruntime

    provider = "CUDAExecutionProvider" if task["device"].startswith("cuda") else "CPUExecutionProvider"
    session = onnxruntime.InferenceSession(task["model"], providers=[provider])
    feed = {session.get_inputs()[0].name: _images(task).cpu().numpy()}
    return lambda: session.run(None, feed)


def _export(task: Task) -> int:
    """Writes the readable network as ONNX; its size in bytes."""
    config = CONFIGS[task["size"]]
    network = FullGenerator(config)
    network.load_state_dict(_state(config))
    images = _images({**task, "device": "cpu"})
    torch.onnx.export(network.eval(), (images,), task["model"], dynamo=True, external_data=False, verbose=False)
    return Path(task["model"]).stat().st_size


def _state(config: NetworkConfig) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in FullGenerator(config).state_dict().items()}
    return {key: torch.from_numpy(value) for key, value in _recipe().state_dict(shapes, seed=1).items()}


def _images(task: Task) -> torch.Tensor:
    return torch.from_numpy(_recipe().image(task["batch"], task["size"], seed=1)).to(task["device"])


def _recipe() -> Any:
    spec = importlib.util.spec_from_file_location("recipe", GOLDEN / "recipe.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 2048], choices=sorted(CONFIGS))
    parser.add_argument("--batches", type=int, nargs="+", default=[1])
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--baselines", nargs="+", default=["onnxruntime", "reference"])
    parser.add_argument("--low-memory", action="store_true", help="measure that too")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
