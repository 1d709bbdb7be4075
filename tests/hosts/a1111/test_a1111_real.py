"""A real webui, started for these tests; about two minutes.

Set A1111_DIR (a checkout) and GPEN_DETECTOR (RetinaFace weights); A1111_PYTHON if the interpreter is not that of the
checkout's venv, and A1111_FLAGS for the Forge family.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import numpy as np
import pytest
from gpen2048.cli import main
from PIL import Image

PROJECT = Path(__file__).parents[3]
FLAGS = "--skip-torch-cuda-test --use-cpu all --no-half --precision full --no-download-sd-model --do-not-download-clip"
PATIENCE = 300  # seconds for a start
WEBUI, DETECTOR = os.environ.get("A1111_DIR"), os.environ.get("GPEN_DETECTOR")

pytestmark = pytest.mark.skipif(not (WEBUI and DETECTOR), reason="needs A1111_DIR and GPEN_DETECTOR")


class Webui:
    """A running webui with the project as an extension and its own data folder."""

    def __init__(self, data: Path, network: Path):
        for name, target in {
            "extensions/gpen2048": PROJECT,
            "models/GPEN/GPEN-BFR-64.pth": network,
            "models/GPEN/detection_mobilenet0.25_Final.pth": Path(str(DETECTOR)).resolve(),
        }.items():
            (data / name).parent.mkdir(parents=True, exist_ok=True)
            (data / name).symlink_to(target)
        (data / "config.json").write_text('{"face_restoration_model": "GPEN-64", "auto_launch_browser": "Disable"}')
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.base, self.log = f"http://127.0.0.1:{port}", data / "log.txt"
        python = os.environ.get("A1111_PYTHON") or str(Path(str(WEBUI), "venv", "bin", "python"))
        flags = os.environ.get("A1111_FLAGS", FLAGS).split() + ["--api", "--api-auth", "ann:secret", "--skip-install"]
        where = ["--server-name", "127.0.0.1", "--port", str(port), "--data-dir", str(data)]
        quiet = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
        self.process = subprocess.Popen(
            [python, "launch.py", *flags, *where],
            cwd=WEBUI,
            env={**os.environ, **quiet},
            stdout=self.log.open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._wait()

    def _wait(self) -> None:
        """Until the log says so: an earlier request would kill the webui."""
        end = time.monotonic() + PATIENCE
        while "Startup time:" not in self.log.read_text(errors="replace"):
            assert self.process.poll() is None and time.monotonic() < end, self.log.read_text(errors="replace")[-3000:]
            time.sleep(0.5)

    def ask(self, path: str, body: Any = None, account: str = "ann:secret") -> tuple[int, Any]:
        headers = {"Content-Type": "application/json"}
        if account:
            headers["Authorization"] = "Basic " + base64.b64encode(account.encode()).decode()
        request = Request(self.base + path, None if body is None else json.dumps(body).encode(), headers)
        try:
            with build_opener(ProxyHandler({})).open(request, timeout=PATIENCE) as answer:
                return answer.status, json.load(answer)
        except HTTPError as error:
            return error.code, json.load(error)

    def stop(self) -> None:
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(30)


@pytest.fixture(scope="module")
def webui(tmp_path_factory: pytest.TempPathFactory, tiny_weights: Path) -> Iterator[Webui]:
    running = Webui(tmp_path_factory.mktemp("webui"), tiny_weights)
    yield running
    running.stop()


def encode(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def test_the_restorers_are_listed_once(webui: Webui) -> None:
    names = [restorer["name"] for restorer in webui.ask("/sdapi/v1/face-restorers")[1]]
    assert names.count("GPEN-2048") == names.count("GPEN-64") == 1


def test_nothing_went_wrong_at_the_start(webui: Webui) -> None:
    mine = [line for line in webui.log.read_text(errors="replace").splitlines() if "a1111_gpen" in line]
    assert mine == []


@pytest.mark.parametrize("account", ["", "ann:wrong", "eve:secret"])
@pytest.mark.parametrize("path", ["models", "options"])
def test_strangers_are_kept_out(webui: Webui, path: str, account: str) -> None:
    assert webui.ask(f"/gpen/v1/{path}", account=account)[0] == 401


def test_pixels_are_the_command_lines(webui: Webui, photo_path: Path, tiny_weights: Path, tmp_path: Path) -> None:
    body = {"image": encode(photo_path), "model": "GPEN-BFR-64.pth", "strength": 0.9, "max_faces": 5}
    status, answer = webui.ask("/gpen/v1/restore", body)
    assert status == 200
    target = tmp_path / "restored.png"
    flags = [f"--network={tiny_weights}", f"--detector={DETECTOR}", "--device=cpu", "--strength=0.9", "--max-faces=5"]
    assert main(["restore", str(photo_path), "-o", str(target), *flags]) == 0
    pictures = [
        np.asarray(Image.open(file)).astype(int) for file in (target, BytesIO(base64.b64decode(answer["image"])))
    ]
    assert np.abs(pictures[0] - pictures[1]).max() <= 1
    assert sum(face["restored"] for face in answer["report"]["faces"]) == 5


@pytest.mark.parametrize(("body", "status"), [({}, 400), ({"image": "?"}, 400), ({"image": "QUJD"}, 422)])
def test_refusals_come_with_a_reason(webui: Webui, body: Any, status: int) -> None:
    code, answer = webui.ask("/gpen/v1/restore", body)
    assert code == status and "image" in answer["detail"]


def test_the_hosts_own_extras_are_left_alone(webui: Webui, photo_path: Path) -> None:
    status, answer = webui.ask("/sdapi/v1/extra-single-image", {"image": encode(photo_path), "upscaling_resize": 1})
    assert status == 200 and answer["image"]
