"""Parts of the benchmarks' page: a heading with a plot and text, and tables."""

from __future__ import annotations

from typing import Any

import matplotlib
import timing

matplotlib.use("Agg")
from matplotlib import pyplot

PLOTS = timing.RESULTS / "plots"
Table = list[list[str]]


def section(title: str, figure: Any, name: str, text: str) -> str:
    figure.savefig(PLOTS / f"{name}.png", dpi=100, bbox_inches="tight")
    pyplot.close(figure)
    return f"## {title}\n\n![{title}](results/plots/{name}.png)\n\n{text}"


def table(head: list[str], rows: Table) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
