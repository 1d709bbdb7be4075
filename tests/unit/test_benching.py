"""`gpen2048 bench` on a small network: what it prints and writes."""

from __future__ import annotations

import json
import mmap
from pathlib import Path

import pytest
import torch
from gpen2048.cli import benching, main, stages
from gpen2048.cli.peaks import Peak
from gpen2048.cli.stages import STAGES, Seconds, TimedRestorer
from gpen2048.compiled import leftovers
from gpen2048.faces import Face
from gpen2048.inference import Network
from gpen2048.options import RestoreOptions
from gpen2048.restorer import FaceRestorer
from torch import Tensor

CPU = torch.device("cpu")


def test_it_needs_no_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = tmp_path / "bench.json"
    command = ["bench", "--size", "64", "--device", "cpu", "--precision", "fp32", "bf16", "--batch", "2"]
    assert main([*command, "--rounds", "2", "--json", str(written)]) == 0
    printed = capsys.readouterr().out
    assert "ms/face" in printed and "3 faces" in printed
    report = json.loads(written.read_text())
    assert [row["precision"] for row in report["network"]] == ["fp32", "bf16"]
    assert all(row["size"] == 64 and row["batch"] == 2 and row["milliseconds"] > 0 for row in report["network"])
    assert report["stages"]["faces"] == 3 and report["stages"]["picture"] == [1200, 1600]
    assert set(report["stages"]["milliseconds"]) <= set(STAGES) and report["stages"]["milliseconds"]["crops"] > 0
    assert report["versions"]["torch"] == torch.__version__


def test_a_network_file_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "network.pth"
    main(["passthrough", str(path), "--size", "128"])
    assert main(["bench", "--network", str(path), "--device", "cpu", "--rounds", "1"]) == 0
    assert "\nfp32        128     1 " in capsys.readouterr().out


class Clock:
    """Tells the seconds that have been waited for; to look takes one of a thousand."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self, device: torch.device) -> Seconds:
        self.wait(0.001)
        return Seconds(self.time, self.time)

    def wait(self, seconds: float) -> None:
        self.time += seconds


def test_what_is_compiled_at_first_is_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A detector that compiles when it is first called, and leaves what has to be collected."""
    clock, calls = Clock(), list[str]()

    def detect(image: Tensor, *_: object, **__: object) -> list[Face]:
        if not calls:
            clock.wait(7)
            leftovers.note("a signature")
        calls.append("found")
        clock.wait(1)
        return []

    monkeypatch.setattr(stages, "now", clock.now)
    monkeypatch.setattr(leftovers.gc, "collect", lambda: clock.wait(100))
    monkeypatch.setattr(benching, "load_detector", lambda *_, **__: detect)
    leftovers.collect()
    written = tmp_path / "bench.json"
    command = ["bench", "--size", "64", "--device", "cpu", "--rounds", "1", "--detector", "d.pth"]
    assert main([*command, "--json", str(written)]) == 0
    milliseconds = json.loads(written.read_text())["stages"]["milliseconds"]
    assert round(milliseconds["detection"]) == 1001 and milliseconds["rest"] < 1000 and len(calls) == 2


def test_the_peak_is_that_of_what_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    required, begun = Network.memory_required, Peak.__init__
    monkeypatch.setattr(Network, "memory_required", lambda *given: [told.append("compiled"), required(*given)][1])
    monkeypatch.setattr(Peak, "__init__", lambda *given: [told.append("peak"), begun(*given)][1])
    assert main(["bench", "--size", "64", "--device", "cpu", "--rounds", "1"]) == 0
    assert told[:2] == ["compiled", "peak"]


def test_the_figures_do_not_replace_an_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network, photo = tmp_path / "network.pth", tmp_path / "photo.png"
    network.write_bytes(b"a network")
    photo.write_bytes(b"a photo")
    for path in (network, photo):
        before = path.read_bytes()
        assert main(["bench", str(photo), "--network", str(network), "--json", str(path)]) == 1
        printed = capsys.readouterr()
        assert f"{path} is an input; wanted another output" in printed.err and not printed.out
        assert path.read_bytes() == before


def test_where_the_figures_cannot_be_written_nothing_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    for place, wanted in ((tmp_path, "a folder; wanted another output"), (tmp_path / "file" / "a.json", "file")):
        assert main(["bench", "--size", "64", "--device", "cpu", "--json", str(place)]) == 1
        printed = capsys.readouterr()
        assert wanted in printed.err and not printed.out


@pytest.mark.parametrize("flags", [("--rounds", "0"), ("--batch", "-1"), ("--precision", "fp8")])
def test_what_cannot_be_measured_is_named(flags: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--size", "64", "--device", "cpu", *flags]) == 1
    assert flags[1] in capsys.readouterr().err


def test_a_timed_restorer_restores_the_same(
    tiny_passthrough: Network, group_photo: Tensor, group_faces: list[Face]
) -> None:
    timed, options = TimedRestorer(tiny_passthrough), RestoreOptions(max_crops=0)
    result = timed.restore(group_photo, options, group_faces[:3])
    assert torch.equal(result.image, FaceRestorer(tiny_passthrough)(group_photo, options, faces=group_faces[:3]).image)
    assert set(timed.seconds) == set(STAGES)
    assert all(timed.seconds[stage].wall > 0 for stage in ("crops", "network", "paste", "rest"))
    assert timed.seconds["detection"] == Seconds()


def test_stages_add_up_to_the_whole(tiny_passthrough: Network, group_photo: Tensor, group_faces: list[Face]) -> None:
    timed = TimedRestorer(tiny_passthrough, lambda image, threshold: group_faces[:2])  # pyright: ignore[reportArgumentType]  a stand-in
    timed.restore(group_photo, RestoreOptions(max_crops=0))
    total = sum(timed.seconds.values(), Seconds())
    assert all(0 <= seconds.wall <= total.wall for seconds in timed.seconds.values())
    assert timed.seconds["detection"].wall > 0


def test_a_peak_is_seen() -> None:
    peak = Peak(CPU)
    if peak.bytes() is None:
        pytest.skip("this system does not tell a process's memory")
    with mmap.mmap(-1, 50_000_000) as block:  # not from the allocator, which may hold free memory
        block.write(bytes(1) * 50_000_000)
    seen = peak.bytes()
    assert seen is not None and 45e6 < seen < 150e6
