"""The page's sections about fused levels on CUDA, and about what was measured there by hand."""

from __future__ import annotations

from typing import Any

from sections import Table, pyplot, section, table


def levels(result: dict[str, Any], name: str) -> str:
    """What levels.py measured."""
    return _section(f"Fused levels on {result['machine']['device']}", result, name)


def by_hand(result: dict[str, Any], name: str) -> str:
    """What no script of these measures, and so none can measure again: single kernels, whole networks, errors."""
    text = _whole(result["whole_before_fusing"]) + _errors(result["errors"])
    text += "".join(f"\n{note}\n" for note in result["notes"])
    return _section(f"Measured by hand on {result['machine']['device']}", result, name, text)


def _section(title: str, result: dict[str, Any], name: str, more: str = "") -> str:
    rows = [_row(row) for row in result["levels"]]
    measured = [row for row in result["levels"] if row["library_ms"] is not None]
    figure, axes = pyplot.subplots(figsize=(7, 0.35 * len(measured) + 1))
    labels = [f"{row['size']} px {row['part']}, {row['precision']}" for row in measured]
    axes.barh(labels, [row["library_ms"] / row["fused_ms"] for row in measured])
    axes.axvline(1, color="black", linewidth=0.8)
    axes.invert_yaxis()
    axes.set_xlabel("times as fast as by library")
    text = table(["px", "part", "precision", "library ms", "fused ms", "times as fast"], rows)
    return section(title, figure, name, text + more)


def _row(row: dict[str, Any]) -> list[str]:
    library, fused = row["library_ms"], row["fused_ms"]
    seen = (
        ["–", f"{fused:.3f}", "–"] if library is None else [f"{library:.3f}", f"{fused:.3f}", f"{library / fused:.2f}x"]
    )
    return [str(row["size"]), row["part"], row["precision"], *seen]


def _whole(runs: list[dict[str, Any]]) -> str:
    rows: Table = [
        [
            str(run["size"]),
            f"x{run['batch']}",
            run["precision"],
            "replayed" if run["graph"] else "launched",
            str(run["ms"]),
        ]
        for run in runs
    ]
    return "\n" + table(["px", "faces", "precision", "CUDA graph", "ms before fusing"], rows)


def _errors(seen: list[dict[str, Any]]) -> str:
    rows: Table = [
        [
            row["network"],
            row["precision"],
            f"{row['of_std']:.1e}",
            f"{row['levels_max']:.2f}",
            f"{row['levels_rms']:.3f}",
        ]
        for row in seen
    ]
    head = ["network", "precision", "largest error, of std", "largest, levels", "rms, levels"]
    return "\n" + table(head, rows)
