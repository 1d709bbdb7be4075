"""What the nodes offer, also to ComfyUI 0.3.48."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from gpen2048 import RestoreOptions, describe_options
from PIL import Image

ROOT = Path(__file__).parents[3]
LANGUAGES = ("es", "fr", "ja", "ko", "ru", "zh", "zh-TW")


def test_the_nodes_are_there(nodes: dict[str, Any]) -> None:
    shown = {node_id: node.define_schema().display_name for node_id, node in nodes.items()}
    assert shown == {
        "GPENLoader": "Load GPEN",
        "GPENRestoreFaces": "Restore Faces",
        "GPENDetectFaces": "Detect Faces (GPEN)",
        "GPENRestoreCrop": "Restore Face Crop (GPEN)",
    }


def test_inputs_and_outputs_are_explained_and_have_ids_of_their_own(nodes: dict[str, Any]) -> None:
    for node in nodes.values():
        schema = node.define_schema()
        ends = [*schema.inputs, *schema.outputs]
        assert all(end.tooltip for end in ends) and schema.description
        ids = [end.id for end in ends if end.id]  # 0.3.48 wants them unique across both sides
        assert len(ids) == len(set(ids))


def test_newer_fields_reach_a_newer_host(pack: Any, nodes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    schema = pack("comfyui_gpen.schema")
    newer = dataclasses.make_dataclass("Schema", [("search_aliases", list, ())], bases=(schema.io.Schema,))
    monkeypatch.setattr(schema.io, "Schema", newer)
    assert "face restore" in nodes["GPENRestoreFaces"].define_schema().search_aliases


def test_widgets_are_the_options(nodes: dict[str, Any]) -> None:
    widgets = {widget.id: widget for widget in nodes["GPENRestoreFaces"].define_schema().inputs}
    for info in describe_options():
        widget = widgets["mask_kind" if info.name == "mask" else info.name]
        assert widget.optional and widget.tooltip == info.help
        assert widget.extra_dict.get("advanced", False) == info.advanced
        assert info.name == "max_crops" or widget.more["default"] == (
            str(info.default) if info.choices else info.default
        )
        if info.choices:
            assert widget.more["options"] == [str(choice) for choice in info.choices]
        elif info.minimum is not None:
            assert (widget.more["min"], widget.more["max"]) == (info.minimum, info.maximum)


def test_new_options_come_last_among_the_widgets(nodes: dict[str, Any]) -> None:
    """Saved workflows know widgets by their place."""
    options = ["mask_kind" if info.name == "mask" else info.name for info in describe_options()]
    wires = {"image", "gpen_model", "mask", "upscale_model", "bboxes"}
    widgets = [end.id for end in nodes["GPENRestoreFaces"].define_schema().inputs if end.id not in wires]
    assert widgets == ["sequence", *options]
    assert [end.id for end in nodes["GPENDetectFaces"].define_schema().inputs][2:] == [
        "threshold",
        "order",
        "max_tilt",
    ]


@pytest.mark.parametrize("path", sorted((ROOT / "example_workflows").glob("*.json")), ids=lambda path: path.stem)
def test_example_workflows_have_values_that_fit_their_widgets(nodes: dict[str, Any], path: Path) -> None:
    for node in json.loads(path.read_text("utf-8"))["nodes"]:
        if node["type"] not in nodes:
            continue
        known = {end.id: end for end in nodes[node["type"]].define_schema().inputs}
        shown = [known[end["name"]] for end in node["inputs"] if "widget" in end]
        assert len(shown) == len(node["widgets_values"])
        for widget, value in zip(shown, node["widgets_values"]):
            default = widget.more["default"]
            assert isinstance(value, (int, float) if isinstance(default, float) else type(default))
            assert widget.id in ("model_name", "detector") or value in widget.more.get("options", [value])


def test_boxes_are_a_wire_and_no_widget(nodes: dict[str, Any]) -> None:
    (boxes,) = [end for end in nodes["GPENRestoreFaces"].define_schema().inputs if end.id == "bboxes"]
    assert boxes.optional and boxes.extra_dict["forceInput"]


def test_widget_values_become_options(pack: Any) -> None:
    read_options = pack("comfyui_gpen.schema").read_options
    options = read_options({"scale": "2", "mask_kind": "parse", "select": "0,2", "strength": 1.0})
    wanted = RestoreOptions(scale=2, mask="parse", select=(0, 2), strength=1.0, max_crops=8)
    assert vars(options) == vars(wanted)
    assert read_options({"scale": "auto"}).scale == "auto"
    with pytest.raises(ValueError, match=r"^scale is '3'"):
        read_options({"scale": "3"})
    with pytest.raises(ValueError, match=r"^mask_kind is 'hair'"):
        read_options({"mask_kind": "hair"})


def test_a_bad_selection_is_refused_before_the_run(nodes: dict[str, Any]) -> None:
    validate = nodes["GPENRestoreFaces"].validate_inputs
    assert validate(select="largest") is True and validate() is True
    assert "select is 'nobody'" in validate(select="nobody")


def test_translations_and_help_cover_every_node(nodes: dict[str, Any]) -> None:
    for node_id, node in nodes.items():
        schema = node.define_schema()
        page = (ROOT / "web" / "docs" / f"{node_id}.md").read_text("utf-8")
        assert all(f"**{widget.id}**" in page for widget in schema.inputs)
        for language in LANGUAGES:
            told = json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text("utf-8"))[node_id]
            assert told["display_name"] and told["description"]
            assert set(told["inputs"]) == {widget.id for widget in schema.inputs}, language
            assert set(told["outputs"]) == {str(n) for n in range(len(schema.outputs))}, language


def test_the_registrys_icon_is_in_the_repository() -> None:
    told = (ROOT / "pyproject.toml").read_text("utf-8")
    repository = re.findall(r'^Repository = "https://github\.com/(\S+)"', told, re.M)
    (address,) = re.findall(r'^Icon = "https://raw\.githubusercontent\.com/(\S+)/main/(\S+)"', told, re.M)
    width, height = Image.open(ROOT / address[1]).size
    assert [address[0]] == repository and width <= 800 and height <= 400  # as the registry's specification has it
