"""The addresses of weight files that documents tell are those of the catalogue."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from gpen2048.catalogue import CATALOGUE, entry_for

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\((https?://[^)]+)\)")


def _links(document: str, start: str) -> list[str]:
    """Of the document's one line that begins so."""
    (line,) = (line for line in (ROOT / document).read_text("utf-8").splitlines() if line.startswith(start))
    return LINK.findall(line)


@pytest.mark.parametrize("name", ["GPEN-BFR-2048", "RetinaFace-R50", "RetinaFace-mobile", "ParseNet"])
def test_the_page_on_weights_links_all_sources_in_order(name: str) -> None:
    entry = entry_for(name)
    assert tuple(_links("weights/README.md", f"| `{entry.file}`")) == entry.sources


@pytest.mark.parametrize("document", ["README.md", "web/docs/GPENLoader.md"])
@pytest.mark.parametrize("name", ["GPEN-BFR-2048", "RetinaFace-R50", "ParseNet"])
def test_users_without_a_command_line_have_a_link(document: str, name: str) -> None:
    assert entry_for(name).sources[0] in LINK.findall((ROOT / document).read_text("utf-8"))


@pytest.mark.parametrize("document", ["README.md", "weights/README.md", "web/docs/GPENLoader.md"])
def test_no_document_links_a_file_that_the_catalogue_does_not_know(document: str) -> None:
    known = {source for entry in CATALOGUE for source in entry.sources}
    files = [link for link in LINK.findall((ROOT / document).read_text("utf-8")) if re.search(r"\.(pth?|onnx)$", link)]
    assert files and set(files) <= known
