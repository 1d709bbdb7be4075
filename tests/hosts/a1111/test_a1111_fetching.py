"""Missing weight files are fetched only when the user has switched that on."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest


@pytest.fixture
def fetched(bare_host: Any, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A stand-in for the net; which files were asked for."""
    asked: list[str] = []

    def fetch(entry: Any, folder: Path, *, tell: Any, note: Any) -> Path:
        asked.append(entry.file)
        tell(50, 100)
        note("half of it is here")
        shutil.copy(tiny_weights, folder / entry.file)
        return folder / entry.file

    package = bare_host.fetching.__name__.split(".")[0]
    monkeypatch.setattr(importlib.import_module(f"{package}.shared.gpen2048.fetching"), "fetch", fetch)
    return asked


def test_nothing_is_fetched_unasked(bare_host: Any, fetched: list[str]) -> None:
    for find in (bare_host.weights.find_network, bare_host.weights.find_detector, bare_host.weights.find_parser):
        with pytest.raises(Exception, match="switch on Settings > GPEN-2048 > Download missing GPEN files") as caught:
            find()
        assert "https://" in str(caught.value) and str(bare_host.folder / "GPEN") in str(caught.value)
    assert fetched == []


def test_what_is_missing_is_fetched_once_when_asked(
    bare_host: Any, fetched: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    bare_host.opts["gpen_fetch"] = True
    path = bare_host.weights.find_network()
    assert path == bare_host.folder / "GPEN" / "GPEN-BFR-2048.pth" == bare_host.weights.find_network()
    assert bare_host.weights.find_detector().name == "detection_Resnet50_Final.pth"
    assert bare_host.weights.find_parser().name == "parsing_parsenet.pth"
    assert fetched == ["GPEN-BFR-2048.pth", "detection_Resnet50_Final.pth", "parsing_parsenet.pth"]
    printed = capsys.readouterr().out
    assert printed.index("Alibaba") < printed.index("half of it is here")
    assert bare_host.shared.state.textinfo == "GPEN: downloading parsing_parsenet.pth, 50 %"


def test_automatic_is_the_best_there_is(bare_host: Any, fetched: list[str], tiny_weights: Path) -> None:
    folder = bare_host.folder / "GPEN"
    for size in (256, 512):
        shutil.copy(tiny_weights, folder / f"GPEN-BFR-{size}.pth")
    assert bare_host.weights.find_network().name == "GPEN-BFR-512.pth" and fetched == []
    with pytest.raises(Exception, match=r"or choose another, there is GPEN-BFR-256\.pth, GPEN-BFR-512\.pth"):
        bare_host.weights.find_network(size=2048)  # which the restorer GPEN-2048 asks for by its name
    bare_host.opts["gpen_fetch"] = True
    assert bare_host.weights.find_network().name == "GPEN-BFR-2048.pth" and fetched == ["GPEN-BFR-2048.pth"]


def test_a_named_file_is_not_replaced_by_another(bare_host: Any, fetched: list[str]) -> None:
    bare_host.opts["gpen_fetch"] = True
    with pytest.raises(Exception, match=r"no file 'mine\.pth'"):
        bare_host.weights.find_network("mine.pth")
    with pytest.raises(Exception, match="no GPEN network of 333 px"):
        bare_host.weights.find_network(size=333)
    assert fetched == []


def test_writing_a_pictures_text_fetches_nothing(bare_host: Any, fetched: list[str]) -> None:
    bare_host.opts["gpen_fetch"] = True
    p = SimpleNamespace(restore_faces=True, extra_generation_params={})
    bare_host.scripts["GpenInfotext"]().process(p)
    assert fetched == [] and p.extra_generation_params["GPEN strength"] == 0.8
    assert "GPEN model" not in p.extra_generation_params


def test_interrupt_stops_the_download(bare_host: Any, fetched: list[str]) -> None:
    bare_host.opts["gpen_fetch"] = True
    bare_host.shared.state.interrupted = True
    with pytest.raises(bare_host.host.Stopped):
        bare_host.weights.find_network()
