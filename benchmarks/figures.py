"""What is counted from measured seconds: shares of the network's time, and the processor's time."""

from __future__ import annotations

from collections.abc import Mapping

CLOCKS = ("wall", "processor")
Clocked = Mapping[str, float]  # seconds by each of CLOCKS


def around(stages: Mapping[str, Clocked]) -> dict[str, float]:
    """Seconds around the network, measured with one in its place that returns its input.

    The stage "network" counts too: there it is the crops' way from [0, 1] to [-1, 1] and back.
    """
    return {clock: sum(stage[clock] for stage in stages.values()) for clock in CLOCKS}


def share(stages: Mapping[str, Clocked], network: Clocked, faces: int) -> dict[str, float]:
    """What `around` is of the time that the `network` takes by itself for so many faces."""
    return {clock: seconds / (network[clock] * faces) for clock, seconds in around(stages).items()}


def processor(row: Mapping[str, float]) -> float:
    """Seconds of all threads, in user and in system mode."""
    return row["user"] + row["system"]
