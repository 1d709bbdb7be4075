"""The extension loaded into stand-ins for A1111's modules, the way A1111 loads it."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from gpen2048.cli import main
from gpen2048.cli.passing import save_state_dict
from gpen2048.network import NetworkConfig
from gpen2048.weight_files.passthrough import passthrough_state_dict
from PIL import Image

PROJECT = Path(__file__).parents[3]
SCRIPT = PROJECT / "scripts" / "gpen2048.py"
ALIAS = "sd_webui_gpen2048"
LANDMARKS = [
    [[204, 113], [246, 111], [226, 141], [207, 157], [245, 156]],
    [[60, 60], [80, 60], [70, 70], [62, 80], [78, 80]],
]


def _load(path: Path) -> ModuleType:
    """A module under its file name and outside sys.modules, as modules/script_loading.py loads scripts."""
    spec = importlib.util.spec_from_file_location(path.name, path)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


standins = _load(Path(__file__).with_name("standins.py"))


class Host:
    """The stand-in webui with the extension in it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.scripts: dict[str, Any] = {}
        self.when_detecting: list[Callable[[], object]] = []
        self.load()
        for callback in self.callbacks["on_ui_settings"]:
            callback()

    def load(self) -> None:
        """As at the start, and at every Reload UI."""
        self.scripts = vars(_load(SCRIPT))

    def __getattr__(self, name: str) -> Any:
        """A module of the extension, or of the host."""
        if (PROJECT / "a1111_gpen" / f"{name}.py").exists():
            return importlib.import_module(f"{ALIAS}.a1111_gpen.{name}")
        return sys.modules[f"modules.{name}"]

    @property
    def callbacks(self) -> dict[str, list[Any]]:
        return self.script_callbacks.registered

    @property
    def opts(self) -> dict[str, Any]:
        return self.shared.opts.data

    @property
    def errors_reported(self) -> list[str]:
        return [args[0] for args, _ in self.errors.report]

    def paste(self, written: dict[str, Any]) -> dict[str, Any]:
        """The settings that the host overrides after a picture's text is pasted."""
        params = {name: str(value) for name, value in written.items() if value is not None}
        for callback in self.callbacks.get("on_infotext_pasted", []):
            callback("", params)
        return self.shared.opts.pasted(params)

    def restorer(self, name: str = "GPEN-2048") -> Any:
        return next(restorer for restorer in self.shared.face_restorers if restorer.name() == name)


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 64 px network that sharpens strongly, so that what it did can be seen."""
    path = tmp_path_factory.mktemp("weights") / "GPEN-BFR-64.pth"
    save_state_dict(passthrough_state_dict(NetworkConfig(64, 1, 0.125), sharpen=1.0), path)
    return path


@pytest.fixture
def bare_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """A host whose model folder is empty."""
    for name, stand_in in {**standins.host_modules(PROJECT, tmp_path), **standins.web_modules()}.items():
        monkeypatch.setitem(sys.modules, name, stand_in)
    (tmp_path / "GPEN").mkdir()
    before = set(sys.modules)
    yield Host(tmp_path)
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == ALIAS:
            del sys.modules[name]


@pytest.fixture
def host(bare_host: Host, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host with a 64 px network and a detector that always finds the two faces of LANDMARKS."""
    folder = bare_host.folder / "GPEN"
    (folder / tiny_weights.name).symlink_to(tiny_weights)
    (folder / "detection_mobilenet0.25_Final.pth").write_bytes(b"stand-in")
    bare_host.opts["gpen_model"] = tiny_weights.name
    monkeypatch.setattr(bare_host.equipment, "load_detector", lambda path: StandInDetector(bare_host))
    return bare_host


class StandInDetector:
    """Knows where the faces are; runs the host's `when_detecting` before it answers."""

    def __init__(self, host: Host):
        self.network = torch.nn.Linear(1, 1)
        self.face = importlib.import_module(f"{ALIAS}.shared.gpen2048").Face
        self.when_asked = host.when_detecting

    def __call__(self, image: torch.Tensor, threshold: float, *, smallest: float = 20.0) -> list[Any]:
        for action in self.when_asked:
            action()
        return [self.face(box(points), points, 1.0) for points in LANDMARKS]

    def memory_required(self, height: int, width: int, *, max_tilt: float = 0) -> int:
        return 0


@pytest.fixture(scope="session")
def photo() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(240, 320, 3) uint8 with structure everywhere, and the two faces of LANDMARKS inside."""
    y, x = np.mgrid[:240, :320]
    waves = [np.sin(x / 3 + phase) * np.cos(y / 5 - phase) for phase in (0, 1, 2)]
    return (np.stack(waves, -1) * 90 + 128).astype(np.uint8)


@pytest.fixture
def command_line(tmp_path: Path) -> Any:
    """What `gpen2048 restore` makes of an (H, W, 3) uint8 photo and LANDMARKS, as integers."""

    def restore(photo: Any, network: Path, flags: list[str]) -> Any:
        source, target, faces = (tmp_path / name for name in ("photo.png", "restored.png", "faces.json"))
        Image.fromarray(photo).save(source)
        faces.write_text(json.dumps([{"landmarks": points, "box": box(points)} for points in LANDMARKS]))
        files = [f"--network={network}", f"--landmarks={faces}", "--device=cpu"]
        assert main(["restore", str(source), "-o", str(target), *files, *flags]) == 0
        return np.asarray(Image.open(target)).astype(int)

    return restore


def box(points: list[list[int]]) -> list[int]:
    """A face's box, well around its landmarks."""
    low, high = np.min(points, 0) - 20, np.max(points, 0) + 20
    return [*low.tolist(), *high.tolist()]
