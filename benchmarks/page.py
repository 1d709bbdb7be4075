"""Makes benchmarks/README.md and its plots from the newest results of each kind.

python benchmarks/page.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import timing
from levels_page import levels
from scale_page import scale
from sections import PLOTS, Table, pyplot, section, table

PAGE = Path(__file__).parent / "README.md"
HEAD = """# Benchmarks

Made by `make benchmark-page` from the JSON files in `results/`, which `make benchmark` measures, on NVIDIA's GPUs `make
benchmark-cuda`; do not edit. Ratios are medians over neighbouring runs of the contenders, each in its turn (those
of fused levels are of two medians); "processor" is the time of all threads together.
"""


def main() -> None:
    """Writes the page; a kind without results is left out."""
    PLOTS.mkdir(parents=True, exist_ok=True)
    parts = [HEAD]
    kinds = (("network", _network), ("levels", levels), ("pipeline", _pipeline), ("growth", _growth), ("scale", scale))
    for kind, written in kinds:
        for path in _newest(kind):
            result = json.loads(path.read_text())
            parts.append(written(result, path.stem) + _origin(result["machine"], path))
    PAGE.write_text("\n".join(parts))
    print(f"written to {PAGE}")


def _newest(kind: str) -> list[Path]:
    """The last result of `kind` on each device, by the date in its name; names alone do not tell processors apart."""
    newest: dict[str, Path] = {}
    for path in sorted(timing.RESULTS.glob(f"{kind}-*.json")):
        newest[_place(json.loads(path.read_text()))] = path
    return list(newest.values())


def _network(result: dict[str, Any], name: str) -> str:
    rows: Table = []
    for run in result["runs"]:
        for baseline, contenders in run["against"].items():
            for contender, row in contenders.items():
                if contender != baseline:
                    rows.append(_network_row(run, baseline, contender, row))
    figure, axes = pyplot.subplots(figsize=(7, 0.4 * len(rows) + 1))
    axes.barh([" ".join(row[:4]) for row in rows], [float(row[6].rstrip("x")) for row in rows])
    axes.axvline(1, color="black", linewidth=0.8)
    axes.invert_yaxis()
    axes.set_xlabel("times as fast, on the clock")
    head = ["px", "faces", "precision", "against", "s", "processor s", "times as fast", "processor", "peak MB"]
    return section(f"The network on {_place(result)}", figure, name, table(head, rows))


def _network_row(run: dict[str, Any], baseline: str, contender: str, row: dict[str, Any]) -> list[str]:
    peak = row.get("peak_bytes_over_loaded", row.get("peak_bytes_with_weights"))
    speed = [f"{row[f'{clock}_speedup']['median']:.2f}x" for clock in ("wall", "user")]
    seconds = [f"{value:.{2 if value > 0.1 else 4}f}" for value in (row["wall"], row["user"] + row["system"])]
    memory = "–" if peak is None else f"{peak / 1e6:.0f}"
    return [str(run["size"]), f"x{run['batch']}", contender, f"vs {baseline}", *seconds, *speed, memory]


def _pipeline(result: dict[str, Any], name: str) -> str:
    rows: Table = []
    figure, axes = pyplot.subplots(figsize=(7, 3))
    labels = list(result["pictures"])
    left = [0.0] * len(labels)
    for stage in ("detection", "crops", "paste", "rest"):
        shares = [_share(result, picture, stage) for picture in labels]
        axes.barh(labels, shares, left=left, label=stage)
        left = [a + b for a, b in zip(left, shares)]
    axes.axvline(10, color="black", linewidth=0.8, linestyle="--")
    axes.set_xlabel("% of the network's own processor time")
    axes.legend()
    for label, picture in result["pictures"].items():
        for who, stages in picture["stages"].items():
            for stage, seconds in stages.items():
                rows.append([label, str(picture["faces"]), who, stage, *_both(seconds)])
        share = [f"{picture['share'][clock]:.1%}" for clock in ("wall", "processor")]
        rows.append([label, str(picture["faces"]), "gpen2048", "**share of the network's time**", *share])
    network = result["network"]
    text = f"The network itself takes {network['wall']:.2f} s a face at {network['size']} px "
    text += f"(processor {network['processor']:.2f} s). In its place stood one that returns its input.\n\n"
    head = ["picture", "faces", "who", "stage", "s", "processor s"]
    return section(f"Everything around it on {_place(result)}", figure, name, text + table(head, rows))


def _share(result: dict[str, Any], picture: str, stage: str) -> float:
    measured = result["pictures"][picture]
    network = result["network"]["processor"] * measured["faces"]
    return 100 * measured["stages"]["gpen2048"][stage]["processor"] / network


def _growth(result: dict[str, Any], name: str) -> str:
    pixels = {key: value for key, value in result.items() if key.startswith("pixels")}
    figure, (faces, seconds, memory) = pyplot.subplots(1, 3, figsize=(12, 3.5), layout="constrained")
    rows = result["faces"]["rows"]
    faces.plot([row["faces"] for row in rows], [row["around"]["processor"] for row in rows], "o-")
    faces.set(xlabel="faces", ylabel="processor s around the network")
    for key, value in pixels.items():
        megapixels = [row["megapixels"] for row in value["rows"]]
        label = key.removeprefix("pixels, ")
        seconds.loglog(megapixels, [row["around"]["processor"] for row in value["rows"]], "o-", label=label)
        memory.plot(megapixels, [(row["peak_bytes"] or 0) / 1e6 for row in value["rows"]], "o-", label=label)
    seconds.set(xlabel="megapixels", ylabel="processor s around the network")
    memory.set(xlabel="megapixels", ylabel="peak MB beyond the picture")
    seconds.legend()
    lines = [f"- Each face costs {result['faces']['seconds_per_face']:.3f} s of the processor around the network "
             f"(exponent {result['faces']['exponent']:.2f})."]  # fmt: skip
    for key, value in pixels.items():
        room = value["bytes_per_pixel"]
        lines.append(
            f"- {key}: time grows with exponent {value['exponent']:.2f} (detection {value['detection_exponent']:.2f})"
            + ("." if room is None else f", memory by {room:.0f} bytes a pixel.")
        )
    return section(f"How it grows on {_place(result)}", figure, name, "\n".join(lines) + "\n")


def _place(result: dict[str, Any]) -> str:
    """The processor's name and its instructions, where they were noted."""
    machine = result["machine"]
    return ", ".join([machine["device"], *machine.get("instructions", [])])


def _both(seconds: dict[str, float]) -> list[str]:
    return [f"{seconds['wall']:.3f}", f"{seconds['processor']:.3f}"]


def _origin(machine: dict[str, Any], path: Path) -> str:
    versions = ", ".join(f"{package} {version}" for package, version in machine["versions"].items())
    where = f"{machine['device']}, {machine['threads']} threads, Python {machine['python']}, {versions}"
    return f"\n{machine['date'][:10]}, {where} ([{path.name}](results/{path.name})).\n"


if __name__ == "__main__":
    main()
