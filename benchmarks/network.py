"""The folded network against the readable one and onnxruntime: time, processor time, memory.

    python benchmarks/network.py --sizes 512 2048 --rounds 5

Every contender is a process of its own and runs in turn with the others of its group; ratios are medians over
neighbouring runs. On CUDA a run is 50 passes from uint8 pixels on the device to uint8 pixels there, timed by events.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
from pathlib import Path
from typing import Any

import timing
import torch
from contenders import CONFIGS, Task, contender, export
from figures import processor

# On the CPU memory is that of a whole process, on CUDA that of the allocator.
PRECISIONS = {"cpu": ["float32", "bfloat16"], "cuda": ["float16", "bfloat16", "tf32", "float32"]}
PEAK = {"cpu": "peak_bytes_over_loaded", "cuda": "peak_bytes_with_weights"}


def main() -> None:
    """Measures and writes one JSON file."""
    options = _options()
    if options.worker:
        _work(json.loads(options.worker))
        return
    name = f"network-{options.device.split(':')[0]}"
    wanted = [(size, batch) for size in options.sizes for batch in options.batches]
    runs = [run for run in _earlier(name, options) if (run["size"], run["batch"]) not in wanted]
    runs += [_compare(size, batch, options) for size, batch in wanted]
    runs.sort(key=lambda run: (run["size"], run["batch"]))
    result = {"machine": timing.machine(options.device), "rounds": options.rounds, "runs": runs}
    print(f"written to {timing.save(name, result)}")


def _earlier(name: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Today's runs so far, with --add."""
    path = timing.todays(name)
    return json.loads(path.read_text())["runs"] if options.add and path.exists() else []


def _compare(size: int, batch: int, options: argparse.Namespace) -> dict[str, Any]:
    """All contenders of one size against each baseline in turn."""
    run: dict[str, Any] = {"size": size, "batch": batch, "against": {}}
    with tempfile.TemporaryDirectory() as folder:
        task = {"size": size, "batch": batch, "device": options.device, "authors": options.authors}
        task["model"] = str(Path(folder) / "network.onnx")
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
        table[name] = {**timing.summary(samples[name]), PEAK[options.device.split(":")[0]]: worker.finish()}
        table[name]["wall_speedup"] = timing.ratio(samples[baseline], samples[name], "wall")
        _show(task, name, table[name], table[baseline])
    return table


def _show(task: Task, name: str, row: dict[str, Any], baseline: dict[str, Any]) -> None:
    memory = next(row[field] for field in PEAK.values() if field in row)
    print(
        f"{task['size']:5d} px x{task['batch']}  {name:24s} {row['wall']:9.4f} s, processor {processor(row):8.4f} s, "
        f"{row['wall_speedup']['median']:5.2f}x (processor {processor(baseline) / processor(row):5.2f}x), "
        + ("" if memory is None else f"{memory / 1e9:5.2f} GB"),
        flush=True,
    )


def _work(task: Task) -> None:
    """A worker's whole life."""
    torch.set_grad_enabled(False)
    if task["kind"] == "export":
        timing.serve(timing.timed, lambda: None, lambda: export(task))
        return
    on_cuda = task["device"].startswith("cuda")
    if on_cuda:
        # Events and the allocator's peak are the current device's, which is set by number only.
        torch.cuda.set_device(torch.device(task["device"]).index or 0)
    run = contender(task)
    gc.collect()
    if on_cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        timing.serve(timing.timed_on_cuda, run, torch.cuda.max_memory_allocated)
        return
    timing.trim()  # what loading has used and left must not serve the passes unseen
    timing.forget_peak()
    resident = timing.resident_bytes("VmRSS")
    timing.serve(
        timing.timed, run, lambda: None if resident is None else (timing.resident_bytes("VmHWM") or 0) - resident
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 2048], choices=sorted(CONFIGS))
    parser.add_argument("--batches", type=int, nargs="+", default=[1])
    parser.add_argument("--precisions", nargs="+", help=f"default: {PRECISIONS}")
    parser.add_argument("--baselines", nargs="+", default=["onnxruntime", "reference"], help="or authors")
    parser.add_argument("--authors", metavar="FOLDER", help="a checkout of the authors' code, for that baseline")
    parser.add_argument("--low-memory", action="store_true", help="measure that too")
    parser.add_argument("--add", action="store_true", help="keep today's runs of other sizes and batches")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error(f"PyTorch {torch.__version__} sees no CUDA device")
    options.precisions = options.precisions or PRECISIONS[options.device.split(":")[0]]
    return options


if __name__ == "__main__":
    main()
