"""The face restorer in the host's list: contract, settings, errors, interrupt."""

from __future__ import annotations

import io
import logging
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gpen2048.cli.passing import save_state_dict
from gpen2048.network import NetworkConfig
from gpen2048.weight_files.passthrough import passthrough_state_dict

SETTINGS = {"gpen_strength": 0.5, "gpen_select": "largest", "gpen_feather": 0.2}


def restore(host: Any, photo: Any) -> Any:
    return host.restorer().restore(photo)


def test_the_picture_changes_and_keeps_its_size(host: Any, photo: Any) -> None:
    before = photo.copy()
    result = restore(host, photo)
    assert result.shape == photo.shape and result.dtype == np.uint8
    changed = (result != photo).any(-1)
    assert 0.02 < changed.mean() < 0.9
    assert not changed[:, :20].any()  # far from both faces
    assert (photo == before).all()
    assert host.errors_reported == []


@pytest.mark.parametrize("settings", [{}, SETTINGS])
def test_pixels_are_the_command_lines(
    host: Any, photo: Any, tiny_weights: Path, command_line: Any, settings: dict[str, Any]
) -> None:
    host.opts.update(settings)
    flags = [f"--{key.removeprefix('gpen_')}={value}" for key, value in settings.items()]
    expected = command_line(photo, tiny_weights, flags)
    difference = np.abs(restore(host, photo).astype(int) - expected)
    assert difference.max() <= 1


def test_once_in_the_list_however_often_the_ui_reloads(host: Any) -> None:
    class Others:
        def name(self) -> str:
            return "GPEN-BFR-512"

    host.shared.face_restorers.insert(0, Others())
    for _ in range(3):
        host.load()
    names = [restorer.name() for restorer in host.shared.face_restorers]
    assert names == ["GPEN-BFR-512", "GPEN-2048", "GPEN-64"]


def test_another_extensions_name_is_left_to_it(host: Any) -> None:
    class Others:
        def name(self) -> str:
            return "GPEN-64"

    host.shared.face_restorers.append(Others())
    host.load()
    named = [restorer for restorer in host.shared.face_restorers if restorer.name() == "GPEN-64"]
    assert [type(restorer) for restorer in named] == [Others]


def test_unloading_takes_it_off_the_list(host: Any) -> None:
    for callback in host.callbacks["on_script_unloaded"]:
        callback()
    assert host.shared.face_restorers == []


def test_sd_next_gets_the_extras_script_and_its_settings(bare_host: Any) -> None:
    del bare_host.shared.face_restorers
    bare_host.callbacks.clear()
    bare_host.load()
    assert bare_host.scripts["GpenPostprocessing"].name == "GPEN-2048"
    assert bare_host.scripts["GpenInfotext"] is None
    assert set(bare_host.callbacks) == {"on_ui_settings"}
    bare_host.shared.opts.data_labels.clear()
    bare_host.settings.add_section()
    assert list(bare_host.shared.opts.data_labels) == ["gpen_detector", "gpen_precision", "gpen_unload", "gpen_fetch"]


def test_sd_next_shows_errors_by_a_logger_of_its_own(bare_host: Any, caplog: pytest.LogCaptureFixture) -> None:
    """It shows no other."""
    bare_host.errors.log = logging.getLogger("sd")
    del bare_host.errors.report
    bare_host.host.report("strength is 9")
    assert [(record.name, record.getMessage()) for record in caplog.records] == [("sd", "strength is 9")]


def test_sd_next_shows_warnings_and_lines_by_it_too(
    bare_host: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = logging.getLogger("sd_webui_gpen2048")
    monkeypatch.setattr(ours, "handlers", [])
    monkeypatch.setattr(ours, "level", logging.NOTSET)
    monkeypatch.setattr(ours, "propagate", False)  # so that what is caught comes by the host's logger
    bare_host.errors.log = logging.getLogger("sd")
    caplog.set_level(logging.INFO, "sd")
    del bare_host.errors.report
    for _ in range(2):  # Reload UI
        bare_host.load()
    logging.getLogger("sd_webui_gpen2048.shared.gpen2048.compiled.compiling").warning("compiles its loops")
    bare_host.host.tell("no face found")
    assert [record.getMessage() for record in caplog.records] == ["compiles its loops", "GPEN: no face found"]


def test_sd_next_has_a_switch_that_can_be_seen(bare_host: Any) -> None:
    """It hides those of its accordions, and has one of its own around each script."""
    del bare_host.shared.face_restorers
    switch = bare_host.scripts["GpenPostprocessing"]().ui()["enable"]
    assert type(switch).__name__ == "Checkbox" and switch.kwargs["label"] == "Enabled"


def test_nothing_generic_becomes_importable(host: Any) -> None:
    restored = set(sys.modules)
    assert "sd_webui_gpen2048.a1111_gpen.face_restoration" in restored
    assert not restored & {"shared", "scripts", "a1111_gpen", "registration", "gpen2048.py"}


def test_missing_network_names_the_folder(bare_host: Any, photo: Any) -> None:
    result = bare_host.restorer().restore(photo)
    assert result is photo
    (message,) = bare_host.errors_reported
    assert str(bare_host.folder / "GPEN") in message and "GPEN-BFR-2048.pth" in message


def test_missing_detector_names_both_folders(host: Any, photo: Any) -> None:
    (host.folder / "GPEN" / "detection_mobilenet0.25_Final.pth").unlink()
    assert restore(host, photo) is photo
    (message,) = host.errors_reported
    assert all(str(host.folder / name) in message for name in ("GPEN", "GFPGAN"))


def test_a_wrong_size_is_told(host: Any, photo: Any, tiny_weights: Path) -> None:
    host.opts["gpen_model"] = "Automatic"
    (host.folder / "GPEN" / "GPEN-BFR-2048.pth").symlink_to(tiny_weights)
    assert restore(host, photo) is photo
    assert "64 network; wanted the 2048 network" in host.errors_reported[0]


def test_an_impossible_setting_says_where_to_look(host: Any, photo: Any) -> None:
    host.opts["gpen_select"] = "everyone"
    assert restore(host, photo) is photo
    assert "select is 'everyone'" in host.errors_reported[0]
    assert host.errors_reported[0].endswith("(Settings > GPEN-2048: Faces)")


@pytest.mark.parametrize("encoding", ["cp932", "gbk", "cp437", "ascii", "utf-8"])
def test_a_console_of_any_encoding_is_written_to(host: Any, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    console = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", console)
    host.host.tell("© \N{GRINNING FACE} in C:\\models")
    console.flush()
    assert console.buffer.getvalue().decode(encoding).startswith("GPEN: ")
    assert b"in C:\\models" in console.buffer.getvalue()


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1), (8, 8, 4), (0, 8, 3)])
def test_arrays_that_are_no_picture_come_back_with_a_sentence(host: Any, shape: Any) -> None:
    given = np.zeros(shape, np.uint8)
    assert host.restorer().restore(given) is given
    args, kwargs = host.errors.report[0]
    assert f"an array {shape}; wanted (height, width, 3) RGB" in args[0] and not kwargs["exc_info"]


def test_a_file_replaced_by_one_of_the_same_time_is_read_again(host: Any, photo: Any, tiny_weights: Path) -> None:
    """As cp -p and rsync -t do it."""
    file, kept = host.folder / "GPEN" / tiny_weights.name, tiny_weights.stat()
    before = restore(host, photo)
    file.unlink()
    save_state_dict(passthrough_state_dict(NetworkConfig(64, 1, 0.25)), file)
    os.utime(file, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    assert file.stat().st_size != kept.st_size and not np.array_equal(restore(host, photo), before)


def test_the_unforeseen_is_reported_with_its_traceback(host: Any, photo: Any) -> None:
    host.when_detecting.append(lambda: 1 / 0)
    assert restore(host, photo) is photo
    ((message,), how) = host.errors.report[0]
    assert "division by zero" in message and how == {"exc_info": True}


@pytest.mark.parametrize(
    ("min_face", "found", "told"),
    [
        (16, True, ""),
        (4096, True, "GPEN: 2 faces found, none restored: smaller than 4096 px\n"),
        (16, False, "GPEN: no face found\n"),
    ],
)
def test_a_picture_that_stays_as_it_was_is_explained(
    host: Any, photo: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any, min_face: int, found: bool, told: str
) -> None:
    restore(host, photo)
    host.opts["gpen_min_face"] = min_face
    if not found:
        detector = host.equipment.EQUIPMENT._kept["detector"][1]
        monkeypatch.setattr(type(detector), "__call__", lambda *_, **__: [])
    capsys.readouterr()
    assert (restore(host, photo) != photo).any() == (told == "")
    assert capsys.readouterr().out == told


@pytest.mark.parametrize("wish", ["interrupted", "skipped"])
def test_interrupt_and_skip_stop_between_stages(host: Any, photo: Any, wish: str) -> None:
    host.when_detecting.append(lambda: setattr(host.shared.state, wish, True))
    assert restore(host, photo) is photo
    assert host.errors_reported == [] and host.shared.state.textinfo == "before"
    setattr(host.shared.state, wish, False)
    host.when_detecting.clear()
    assert restore(host, photo) is not photo


def test_progress_counts_faces_and_the_text_before_comes_back(host: Any, photo: Any) -> None:
    shown: list[str] = []
    state = type(host.shared.state)
    host.shared.state.__class__ = type("Watched", (state,), {"__setattr__": _recorder(state, shown)})
    restore(host, photo)
    texts = [text for text in shown if text != "GPEN: compiling"]  # which only a first run does
    assert texts[0] == "GPEN: finding faces" and texts[-1] == "before"
    assert list(dict.fromkeys(text for text in shown if "face " in text)) == ["GPEN face 1/2", "GPEN face 2/2"]


def _recorder(state: Any, shown: list[str]) -> Any:
    def record(self: Any, name: str, value: Any) -> None:
        if name == "textinfo":
            shown.append(value)
        state.__setattr__(self, name, value)

    return record
