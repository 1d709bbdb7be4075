"""The section of the benchmarks' page on `gpen2048 batch`, from what scale.py has measured."""

from __future__ import annotations

from typing import Any

from sections import Table, pyplot, section, table


def scale(result: dict[str, Any], name: str) -> str:
    """Every part that was measured, with the load of the machine before it."""
    figure, axes = pyplot.subplots(1, 3, figsize=(12, 3.5), layout="constrained")
    text = ""
    for part, written in PARTS.items():
        if part in result:
            text += f"{written(result[part]['found'], axes)}\nLoad before: {result[part]['load before']}.\n\n"
    return section("Folders, films and workers", figure, name, text.rstrip("\n") + "\n")


def _pictures(rows: list[dict[str, Any]], axes: Any) -> str:
    counts = [row["pictures"] for row in rows]
    axes[0].semilogx(counts, [row["rate"] for row in rows], "o-")
    axes[0].set(xlabel="pictures", ylabel="pictures/s (64 px network)", ylim=(0, None))
    axes[1].semilogx(counts, [row["peak MB over start"] for row in rows], "o-", label="pictures")
    cells = [[str(row["pictures"]), _number(row["seconds"]), _number(row["rate"]), _memory(row)] for row in rows]
    head = ["pictures", "s", "pictures/s", "peak MB"]
    return _part("Pictures, one process of one thread, network of 64 px", head, cells)


def _overlap(rows: list[dict[str, Any]], axes: Any) -> str:
    cells: Table = []
    for row in rows:
        facts = [row["network"], row["precision"], row["threads"], row["faces"], row["in flight"]]
        cells.append([*map(str, facts), _number(row["rate"]), f"{row['busy']:.1%}"])
    head = ["network px", "precision", "threads", "faces", "in flight", "pictures/s", "network busy"]
    return _part("How busy the network is while others read, detect, paste and write", head, cells)


def _workers(found: dict[str, Any], axes: Any) -> str:
    cells = [[count, ", ".join(map(_number, rates))] for count, rates in found["pictures/s"].items()]
    each = ", ".join(f"{share:.0%}" for share in found["of linear, each"])
    text = _part(f"Workers of Ray, one core each, network of {found['network']} px", ["workers", "pictures/s"], cells)
    return f"{text}\nTwo workers give {found['of linear']:.0%} of twice what one gives (each round: {each}).\n"


def _film(rows: list[dict[str, Any]], axes: Any) -> str:
    local = [row for row in rows if row["engine"] == "local"]
    axes[1].semilogx([row["frames"] for row in local], [row["peak MB over start"] for row in local], "s-", label="film")
    axes[1].set(xlabel="pictures or frames", ylabel="peak MB", ylim=(0, None))
    axes[1].legend()
    cells = [[str(row["frames"]), row["engine"], _number(row["seconds"]), _memory(row)] for row in rows]
    head = ["frames", "engine", "s", "peak MB"]
    title = "A film of 256 x 256 px, one face in every frame, network of 64 px; memory of the process that writes it"
    return _part(title, head, cells)


def _driver(found: dict[str, Any], axes: Any) -> str:
    rates = [f"{found[engine]['pictures/s']:.0f} {engine}" for engine in ("local", "ray")]
    rows = found["a million portraits on 8 GPUs"]
    axes[2].plot([row["assumed s a face"] for row in rows], [row["hours"] for row in rows], "o-")
    axes[2].set(xlabel="assumed s a face", ylabel="hours for a million on 8 GPUs", ylim=(0, None))
    cells: Table = []
    for row in rows:
        held = "yes" if row["held up by the driver"] else "no"
        facts = [row["assumed s a face"], row["pictures/s wanted"], row["hours"], row["GPU hours"]]
        cells.append([*(f"{fact:g}" for fact in facts), held])
    head = ["assumed s a face", "pictures/s wanted", "hours", "GPU hours", "held up by reading and writing"]
    size = found["ray"]["bytes written for each"] / 1e6
    title = (f"What one machine reads, writes and puts on record when restoring takes no time: {' and '.join(rates)} "
             f"pictures of {size:g} MB a second; on paper, a million portraits on 8 GPUs")  # fmt: skip
    return _part(title, head, cells)


def _part(title: str, head: list[str], cells: Table) -> str:
    return f"{title}:\n\n{table(head, cells)}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _memory(row: dict[str, Any]) -> str:
    return f"{row['peak MB over start']:.0f}"


PARTS = {"pictures": _pictures, "overlap": _overlap, "workers": _workers, "film": _film, "driver": _driver}
