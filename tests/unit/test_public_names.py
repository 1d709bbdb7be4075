"""The package's door: complete, lazy, and free of hosts."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import gpen2048
import pytest

PACKAGE = Path(gpen2048.__file__).parent
IGNORED = Path(__file__).parents[2] / ".comfyignore"


@pytest.mark.parametrize("name", gpen2048.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(gpen2048, name).__name__ == name


def test_every_public_name_has_one_home() -> None:
    homes = [name for names in gpen2048._HOMES.values() for name in names]
    assert sorted(homes) == sorted(gpen2048.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        gpen2048.nothing  # noqa: B018


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r}); import gpen2048, gpen2048.restorer;"
        "heavy = ('facexlib', 'cv2', 'skimage', 'numba', 'triton', 'PIL', 'torchvision');"
        "print([module for module in heavy if module in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = set(re.findall(r"\w+", out))
    baseline = subprocess.run(
        [sys.executable, "-c", "import sys, torch, numpy; print(list(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert loaded <= set(re.findall(r"\w+", baseline))


UNPUBLISHED = {line.rpartition("gpen2048/")[2].strip("/") for line in IGNORED.read_text().splitlines()}


def _published() -> list[Path]:
    root = IGNORED.parent
    paths = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")]
    runtime = [PACKAGE / path for path in paths if not {path.parts[0], path.as_posix()} & UNPUBLISHED]
    return [*runtime, root / "__init__.py", *(root / "comfyui_gpen").rglob("*.py")]


def test_nothing_published_alarms_the_registry() -> None:
    """The ComfyUI registry withholds packs whose files contain these words, comments included."""
    alarming = re.compile(
        r"urllib|requests\.|subprocess|os\.system|os\.environ|eval\s*\(|exec\s*\(|__import__|pickle\.loads|socket\."
        r"|pip install"
    )
    found = [f"{path.name}: {m.group()}" for path in _published() for m in alarming.finditer(path.read_text())]
    assert not found and PACKAGE / "fetching" / "transfer.py" not in _published()


def test_no_prose_that_tells_how_to_install_is_published() -> None:
    root = PACKAGE.parents[1]
    ignored = tuple(line for line in (root / ".comfyignore").read_text().splitlines() if line.startswith("/"))
    folders = [folder for folder in root.iterdir() if folder.is_dir() and not folder.name.startswith(".")]
    prose = [*root.glob("*.md"), *(path for folder in folders for path in folder.rglob("*.md"))]
    published = [path for path in prose if not f"/{path.relative_to(root).as_posix()}".startswith(ignored)]
    assert any("docs" in path.parts for path in published)  # the nodes' help pages
    assert not [path.name for path in published if "pip install" in path.read_text()]


def test_what_is_not_published_is_there() -> None:
    """A line about what was moved would say nothing, and publish it."""
    lines = [line for line in IGNORED.read_text().splitlines() if line.startswith("/")]
    assert not [line for line in lines if not (IGNORED.parent / line.strip("/")).exists()]


def test_nothing_published_needs_what_is_not() -> None:
    names = {Path(name).stem for name in UNPUBLISHED if (PACKAGE / name).exists()}
    assert {"cli", "fetching", "verification"} <= names
    unpublished = "|".join(names - {"__main__"})
    importing = re.compile(rf"from \.+([\w.]+\.)?({unpublished})[ .]|from \.+[\w.]* import .*\b({unpublished})\b")
    found = [f"{path.name}: {m.group()}" for path in _published() for m in importing.finditer(path.read_text())]
    assert not found
