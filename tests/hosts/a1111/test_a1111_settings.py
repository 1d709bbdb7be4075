"""Settings, the X/Y/Z axis, infotexts of generated pictures, translations."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from gpen2048.catalogue import SUFFIXES

LOCALIZATIONS = sorted((Path(__file__).parents[3] / "localizations").glob("*.json"))


def test_the_section_has_every_setting_with_a_usable_default(host: Any) -> None:
    labels = host.shared.opts.data_labels
    wanted = {"gpen_model", "gpen_detector", "gpen_precision", "gpen_unload", "gpen_fetch", "gpen_api_megapixels"}
    options = {f"gpen_{info.name}" for info in host.controls.shown_options()} - {"gpen_scale", "gpen_max_scale"}
    assert set(labels) == wanted | options
    assert {info.section for info in labels.values()} == {("gpen2048", "GPEN-2048")}
    assert {info.category_id for info in labels.values()} == {"postprocessing"}
    options_of_defaults = host.settings.restorer_options()
    assert options_of_defaults == type(options_of_defaults)(max_crops=0)


def test_settings_give_only_arguments_that_gradio_3_can_update(host: Any) -> None:
    """The host passes them to the component and, at every page load, to its update()."""
    for info in host.shared.opts.data_labels.values():
        arguments = info.component_args() if callable(info.component_args) else info.component_args or {}
        assert set(arguments) <= {"choices", "minimum", "maximum", "step"}
        if info.component is not None:
            info.component(label=info.label, value=info.default, **arguments)


def test_menus_list_the_files_there_are(host: Any) -> None:
    labels = host.shared.opts.data_labels
    assert labels["gpen_model"].component_args()["choices"] == ["Automatic", "GPEN-BFR-64.pth"]
    assert labels["gpen_detector"].component_args()["choices"] == ["Automatic", "detection_mobilenet0.25_Final.pth"]


def test_a_host_that_knows_no_settings_gets_the_defaults(host: Any) -> None:
    host.opts.clear()
    assert host.settings.restorer_options().strength == 0.8


def test_networks_leaves_out_what_is_none(bare_host: Any) -> None:
    folder = bare_host.folder / "GPEN"
    names = ["GPEN-BFR-512.pth", "gpen-bfr-1024.safetensors", "GPEN-BFR-512-D.pth", "ParseNet-latest.pth"]
    for name in [*names, "detection_Resnet50_Final.pth", "notes.txt", "mine.pt"]:
        (folder / name).write_bytes(b"x")
    assert list(bare_host.weights.networks()) == ["GPEN-BFR-512.pth", "gpen-bfr-1024.safetensors", "mine.pt"]
    assert bare_host.weights.network_sizes() == [2048, 1024, 512]


def test_onnx_files_are_networks_by_their_name_and_come_last(bare_host: Any) -> None:
    folder = bare_host.folder / "GPEN"
    for name in ("GPEN-BFR-2048.onnx", "GPEN-BFR-512.onnx", "inswapper_128.onnx", "retinaface-r50.onnx"):
        (folder / name).write_bytes(b"x")
    assert list(bare_host.weights.networks()) == ["GPEN-BFR-2048.onnx", "GPEN-BFR-512.onnx"]
    assert bare_host.weights.find_network().name == "GPEN-BFR-2048.onnx" and not bare_host.weights.detectors()
    (folder / "GPEN-BFR-2048.pth").write_bytes(b"x")
    assert bare_host.weights.find_network().name == "GPEN-BFR-2048.pth"


def test_every_kind_of_file_that_the_runtime_reads_is_listed(bare_host: Any) -> None:
    names = {f"GPEN-BFR-512{suffix}" for suffix in SUFFIXES}
    for name in names:
        (bare_host.folder / "GPEN" / name).write_bytes(b"x")
    assert set(bare_host.weights.networks()) == names


def test_the_better_detector_comes_first_and_gfpgans_folder_counts(bare_host: Any) -> None:
    (bare_host.folder / "GFPGAN").mkdir()
    (bare_host.folder / "GPEN" / "detection_mobilenet0.25_Final.pth").write_bytes(b"x")
    (bare_host.folder / "GFPGAN" / "detection_Resnet50_Final.pth").write_bytes(b"x")
    assert bare_host.weights.find_detector() == bare_host.folder / "GFPGAN" / "detection_Resnet50_Final.pth"


def grid(module_name: str) -> Any:
    module = SimpleNamespace(
        axis_options=[],
        AxisOption=lambda label, kind, apply: SimpleNamespace(label=label, kind=kind, apply=apply),
    )
    return SimpleNamespace(script_class=type("Script", (), {"__module__": module_name}), module=module)


@pytest.mark.parametrize("module_name", ["xyz_grid.py", "scripts.xyz_grid"])
def test_the_grid_gets_one_axis(host: Any, module_name: str) -> None:
    other, wanted = grid("other.py"), grid(module_name)
    host.host.scripts.scripts_data[:] = [other, wanted]
    for callback in host.callbacks["on_before_ui"] * 2:
        callback()
    (axis,) = wanted.module.axis_options
    p = SimpleNamespace(override_settings={})
    axis.apply(p, axis.kind("0.25"), [])
    assert axis.label == "GPEN strength" and p.override_settings == {"gpen_strength": 0.25}
    assert other.module.axis_options == []


@pytest.mark.parametrize(
    ("chosen", "restore_faces", "written"),
    [("GPEN-2048", True, True), ("GPEN-2048", False, False), ("CodeFormer", True, False)],
)
def test_generated_pictures_remember_strength_and_model(
    host: Any, chosen: str, restore_faces: bool, written: bool
) -> None:
    host.opts.update(face_restoration_model=chosen, gpen_strength=0.4)
    p = SimpleNamespace(restore_faces=restore_faces, extra_generation_params={})
    host.scripts["GpenInfotext"]().process(p)
    expected = {"GPEN strength": 0.4, "GPEN model": "0123456789"} if written else {}
    assert {key: value for key, value in p.extra_generation_params.items() if value is not None} == expected


def test_pictures_of_a_grid_do_not_share_their_texts(host: Any) -> None:
    """The host copies the request for each picture, but not the dictionary of texts in it."""
    host.opts.update(face_restoration_model="GPEN-2048", gpen_strength=0.4, gpen_min_face=40)
    shared: dict[str, Any] = {"Other": 1}
    host.scripts["GpenInfotext"]().process(SimpleNamespace(restore_faces=True, extra_generation_params=shared))
    assert {"GPEN strength", "GPEN model"} < {key for key, value in shared.items() if value is not None}
    host.scripts["GpenInfotext"]().process(SimpleNamespace(restore_faces=False, extra_generation_params=shared))
    assert {key: value for key, value in shared.items() if value is not None} == {"Other": 1}


def test_the_text_of_a_picture_brings_its_settings_back(host: Any) -> None:
    changed = {
        "gpen_strength": 0.4,
        "gpen_select": "0,2",
        "gpen_mask": "parse",
        "gpen_min_face": 40,
        "gpen_max_turn": 60,
    }
    host.opts.update(changed)
    options, p = host.settings.restorer_options(), SimpleNamespace(restore_faces=True, extra_generation_params={})
    host.scripts["GpenInfotext"]().process(p)
    host.opts.update({key: host.shared.opts.data_labels[key].default for key in changed})
    assert host.settings.restorer_options() != options
    host.opts.update(host.paste(p.extra_generation_params))
    assert host.settings.restorer_options() == options


def test_a_picture_of_impossible_settings_carries_no_text(host: Any) -> None:
    host.opts["gpen_select"] = "everyone"
    p = SimpleNamespace(restore_faces=True, extra_generation_params={})
    host.scripts["GpenInfotext"]().process(p)
    assert p.extra_generation_params == {}


def test_menus_of_files_have_a_button_that_looks_again(host: Any) -> None:
    for name in ("gpen_model", "gpen_detector"):
        info = host.shared.opts.data_labels[name]
        info.refresh()
        assert callable(info.component_args)


@pytest.mark.parametrize("path", LOCALIZATIONS, ids=lambda path: path.stem)
def test_every_string_is_translated(host: Any, path: Path) -> None:
    translated = json.loads(path.read_text(encoding="utf-8"))
    shown: set[str] = set()
    for info in host.shared.opts.data_labels.values():
        shown |= {info.label, info.comment_after.removeprefix("<span class='info'>").removesuffix("</span>")}
    for control in host.scripts["GpenPostprocessing"]().ui().values():
        shown |= {control.kwargs["label"], control.kwargs.get("info", "")}
    assert shown - {"", "GPEN-2048"} <= set(translated)
    assert all(translated.values())


def test_there_are_translations() -> None:
    assert LOCALIZATIONS
