"""Makes benchmarks/README.md and its plots from the newest results of each kind.

python benchmarks/page.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import timing
from figures import processor, share
from levels_page import by_hand, levels
from scale_page import scale
from sections import PLOTS, Table, pyplot, section, table

PAGE = Path(__file__).parent / "README.md"
HEAD = """# Benchmarks

Made by `make benchmark-page` from the JSON files in `results/`; do not edit. `make benchmark DETECTOR=FILE` measures
the network, what is around it and how that grows, `make benchmark-scale` folders, films and workers, `make
benchmark-cuda` the network and its fused levels on NVIDIA's GPUs. No script repeats what was measured by hand.
"processor" is user and system time of all threads together. Times as fast are medians over neighbouring runs of the
contenders, each in its turn; those of the processor and of fused levels are of two medians.
"""
PIPELINE = """In its place stood one that returns its input: its
stage is the crops' way from [0, 1] to [-1, 1] and back, and counts as work around the network. gpen2048 cuts out and
lays back what it found, facexlib the faces that are known, whether it found them or not.
"""
UNCOUNTED = """- These figures lack the crops' way from [0, 1] to [-1, 1] and back, which was not counted then. By this
  machine's table above it adds to each face a 29th of what the group photo's stage "network" takes."""


def main() -> None:
    """Writes the page; a kind without results is left out."""
    PLOTS.mkdir(parents=True, exist_ok=True)
    parts = [HEAD]
    for kind, written in KINDS.items():
        for path in _newest(kind):
            result = json.loads(path.read_text())
            parts.append(written(result, path.stem) + _origin(result["machine"], path))
    PAGE.write_text("\n".join(parts))
    print(f"written to {PAGE}")


def _newest(kind: str) -> list[Path]:
    """The last result of `kind` on each device."""
    newest: dict[str, Path] = {}
    results = [(json.loads(path.read_text()), path) for path in timing.RESULTS.glob(f"{kind}-*.json")]
    for result, path in sorted(results, key=lambda one: one[0]["machine"]["date"]):
        newest[_place(result)] = path
    return list(newest.values())


def _network(result: dict[str, Any], name: str) -> str:
    rows: Table = []
    for run in result["runs"]:
        for baseline, contenders in run["against"].items():
            for contender in contenders:
                if contender != baseline:
                    rows.append(_network_row(run, baseline, contender))
    figure, axes = pyplot.subplots(figsize=(7, 0.4 * len(rows) + 1))
    axes.barh([" ".join(row[:4]) for row in rows], [float(row[6].rstrip("x")) for row in rows])
    axes.axvline(1, color="black", linewidth=0.8)
    axes.invert_yaxis()
    axes.set_xlabel("times as fast, on the clock")
    head = ["px", "faces", "precision", "against", "s", "processor s", "times as fast", "processor", "peak MB"]
    return section(f"The network on {_place(result)}", figure, name, table(head, rows))


def _network_row(run: dict[str, Any], baseline: str, contender: str) -> list[str]:
    row, slow = (run["against"][baseline][name] for name in (contender, baseline))
    peak = row.get("peak_bytes_over_loaded", row.get("peak_bytes_with_weights"))
    speed = [f"{value:.2f}x" for value in (row["wall_speedup"]["median"], processor(slow) / processor(row))]
    seconds = [f"{value:.{2 if value > 0.1 else 4}f}" for value in (row["wall"], processor(row))]
    memory = "–" if peak is None else f"{peak / 1e6:.0f}"
    return [str(run["size"]), f"x{run['batch']}", contender, f"vs {baseline}", *seconds, *speed, memory]


def _pipeline(result: dict[str, Any], name: str) -> str:
    rows: Table = []
    network = result["network"]
    figure, axes = pyplot.subplots(figsize=(7, 3))
    labels = list(result["pictures"])
    left = [0.0] * len(labels)
    for stage in result["pictures"][labels[0]]["stages"]["gpen2048"]:
        shares = [_share(result, picture, stage) for picture in labels]
        axes.barh(labels, shares, left=left, label="to [-1, 1] and back" if stage == "network" else stage)
        left = [a + b for a, b in zip(left, shares)]
    axes.axvline(10, color="black", linewidth=0.8, linestyle="--")
    axes.set_xlabel("% of the network's own processor time")
    axes.legend()
    for label, picture in result["pictures"].items():
        for who, stages in picture["stages"].items():
            for stage, seconds in stages.items():
                rows.append([label, str(picture["faces"]), who, stage, _found(picture, who, stage), *_both(seconds)])
        shares = [f"{part:.1%}" for part in share(picture["stages"]["gpen2048"], network, picture["faces"]).values()]
        rows.append([label, str(picture["faces"]), "gpen2048", "**share of the network's time**", "", *shares])
    text = f"The network itself takes {network['wall']:.2f} s a face at {network['size']} px "
    text += f"(processor {network['processor']:.2f} s). {PIPELINE}\n"
    head = ["picture", "faces", "who", "stage", "found", "s", "processor s"]
    return section(f"Everything around it on {_place(result)}", figure, name, text + table(head, rows))


def _share(result: dict[str, Any], picture: str, stage: str) -> float:
    measured = result["pictures"][picture]
    one = {stage: measured["stages"]["gpen2048"][stage]}
    return 100 * share(one, result["network"], measured["faces"])["processor"]


def _found(picture: dict[str, Any], who: str, stage: str) -> str:
    """How many faces a stage that looks for them found."""
    return str(picture["found"][who + stage.removeprefix("detection")]) if stage.startswith("detection") else ""


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
    if "network" not in rows[0]["stages"]:
        lines.append(UNCOUNTED)
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


KINDS = {
    "network": _network,
    "levels": levels,
    "by-hand": by_hand,
    "pipeline": _pipeline,
    "growth": _growth,
    "scale": scale,
}


if __name__ == "__main__":
    main()
