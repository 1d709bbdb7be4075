"""The pack inside a real ComfyUI. COMFYUI_DIR names a checkout, COMFYUI_PYTHON the interpreter that has its needs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MOST_SECONDS = 0.15  # of import, on top of torch; ComfyUI's own log says it

LISTED = {"en", "zh", "zh-TW", "ja", "ko", "ru", "fr", "es", "de"}  # where the front end has them; it has no de so far
# {value:"ko",text:"한국어"} in older front ends, ko:{text:`한국어` in newer ones
LANGUAGE = re.compile(r"""["']?\b([a-z]{2}(?:-[A-Z]{2})?)["']?(?:,|:\s*\{)\s*text:\s*["'`]""")

pytestmark = pytest.mark.skipif("COMFYUI_DIR" not in os.environ, reason="needs COMFYUI_DIR, a ComfyUI checkout")


def test_a_real_comfyui_loads_the_pack(tmp_path: Path) -> None:
    for folder in ("custom_nodes", "user", "input"):
        (tmp_path / folder).mkdir()
    (tmp_path / "custom_nodes" / "a name with spaces").symlink_to(ROOT, target_is_directory=True)
    done = subprocess.run(
        [
            os.environ.get("COMFYUI_PYTHON", sys.executable),
            "main.py",
            "--cpu",
            "--quick-test-for-ci",
            f"--base-directory={tmp_path}",
            f"--database-url=sqlite:///{tmp_path}/user/comfyui.db",
        ],
        cwd=os.environ["COMFYUI_DIR"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    log = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
    told = re.search(r"([\d.]+) seconds( \(IMPORT FAILED\))?: .*a name with spaces", log)
    assert told and not told[2] and "Error while calling comfy_entrypoint" not in log, log[-3000:]
    assert float(told[1]) <= MOST_SECONDS


def test_every_listed_language_that_the_front_end_has_is_there() -> None:
    find = "import comfyui_frontend_package as package; print(package.__path__[0])"
    done = subprocess.run(
        [os.environ.get("COMFYUI_PYTHON", sys.executable), "-c", find], capture_output=True, text=True, check=True
    )
    scripts = [path.read_text("utf-8") for path in Path(done.stdout.strip(), "static", "assets").glob("*.js")]
    places = [(text, match.start()) for text in scripts for match in re.finditer("text:\\s*[\"'`]한국어", text)]
    offered = {code for text, at in places for code in LANGUAGE.findall(text[max(0, at - 500) : at + 1000])}
    assert {"en", "ko", "fr"} <= offered  # the table was found
    own = {path.parent.name for path in (ROOT / "locales").glob("*/nodeDefs.json")}
    assert offered & LISTED <= own | {"en"}, offered  # en is in the nodes themselves
