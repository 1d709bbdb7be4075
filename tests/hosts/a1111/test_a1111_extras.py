"""The Extras script: every kind of picture, every option, and the host's API that passes None for everything."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

ON = {"enable": True, "model": "GPEN-BFR-64.pth"}
MODES = {"RGB": "RGB", "RGBA": "RGBA", "L": "RGB", "LA": "RGBA", "P": "RGB", "1": "RGB"}


def process(host: Any, image: Image.Image | None, **values: Any) -> Any:
    pp = SimpleNamespace(image=image, info={})
    host.scripts["GpenPostprocessing"]().process(pp, **values)
    pp.info = written(pp.info)
    return pp


def written(info: dict[str, Any]) -> dict[str, Any]:
    """What the hosts write: they leave out what is None."""
    return {key: value for key, value in info.items() if value is not None}


def test_none_for_every_control_means_do_nothing(host: Any, photo: Any) -> None:
    image = Image.fromarray(photo)
    script = host.scripts["GpenPostprocessing"]()
    pp = process(host, image, **dict.fromkeys(script.ui()))
    assert pp.image is image and pp.info == {}


def test_a_video_without_a_picture_is_left_alone(host: Any) -> None:
    """As SD.Next runs the scripts."""
    pp = process(host, None, **ON)
    assert pp.image is None and pp.info == {}


def test_none_for_every_control_but_enable_means_the_defaults(host: Any, photo: Any) -> None:
    controls = host.scripts["GpenPostprocessing"]().ui()
    pp = process(host, Image.fromarray(photo), **{**dict.fromkeys(controls), **ON})
    assert pp.info["GPEN strength"] == 0.8 and pp.info["GPEN faces restored"] == 2


def test_what_the_controls_start_with_is_the_defaults(host: Any) -> None:
    made = host.scripts["GpenPostprocessing"]().ui()
    values = {name: control.kwargs.get("value") for name, control in made.items()}
    options = host.controls.read_options(values)
    assert options == type(options)(max_crops=0)


def test_every_tab_has_a_switch_of_its_own(host: Any) -> None:
    script = host.scripts["GpenPostprocessing"]
    switches = [script().ui()["enable"] for _ in ("Extras", "txt2img", "img2img")]
    assert len({switch.accordion_id for switch in switches}) == 3


def test_the_default_strength_is_the_settings(host: Any) -> None:
    host.opts["gpen_strength"] = 0.3
    assert host.scripts["GpenPostprocessing"]().ui()["strength"].kwargs["value"] == 0.3


@pytest.mark.parametrize("wrong", [[1], "strong", 7])
def test_a_setting_that_is_no_strength_is_no_default(host: Any, wrong: Any) -> None:
    """The host takes its file of settings as it is."""
    host.opts["gpen_strength"] = wrong
    assert host.scripts["GpenPostprocessing"]().ui()["strength"].kwargs["value"] == 0.8


def test_settings_of_another_kind_are_as_if_not_set(host: Any, photo: Any) -> None:
    host.opts.update(gpen_precision=["x"], gpen_detector=["x"], gpen_unload="", gpen_model={})
    assert process(host, Image.fromarray(photo), **ON).info["GPEN faces restored"] == 2
    assert not host.errors_reported


def test_a_model_that_is_no_name_is_named(host: Any, photo: Any) -> None:
    process(host, Image.fromarray(photo), enable=True, model=["a"])
    assert "no file \"['a']\" in" in host.errors_reported[0]


def test_every_option_has_a_control_with_its_help(host: Any) -> None:
    made = host.scripts["GpenPostprocessing"]().ui()
    for info in host.controls.shown_options():
        assert made[info.name].kwargs["info"] == info.help


def test_pixels_are_the_command_lines(host: Any, photo: Any, tiny_weights: Path, command_line: Any) -> None:
    pp = process(host, Image.fromarray(photo), **ON, strength=0.9, scale="2", colour="original-chroma", max_faces=1.0)
    flags = ["--strength=0.9", "--scale=2", "--colour=original-chroma", "--max-faces=1"]
    difference = np.abs(np.asarray(pp.image).astype(int) - command_line(photo, tiny_weights, flags))
    assert difference.max() <= 1
    assert pp.info["GPEN scale"] == 2 and pp.info["GPEN faces restored"] == 1


@pytest.mark.parametrize("mode", MODES)
def test_any_mode_of_picture(host: Any, photo: Any, mode: str) -> None:
    image = Image.fromarray(photo).convert(mode)
    if "A" in mode:
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    pp = process(host, image, **ON)
    assert pp.image.mode == MODES[mode] and pp.image.size == image.size
    before, after = (np.asarray(picture.convert("RGBA")) for picture in (image, pp.image))
    assert (before[..., 3] == after[..., 3]).all()
    assert (before[:, :20] == after[:, :20]).all() and (before != after).any()


@pytest.mark.parametrize("mode", ["I;16", "I"])
def test_sixteen_bits_are_not_clipped_to_white(host: Any, photo: Any, mode: str) -> None:
    grey = photo[..., 0].astype(np.uint16) * 257
    image = Image.fromarray(grey if mode == "I;16" else grey.astype(np.int32))
    assert image.mode == mode
    after = np.asarray(process(host, image, **ON).image)
    assert (after[:, :20, 0] == photo[:, :20, 0]).all()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "CMYK"])
def test_a_colour_profile_stays_with_the_colours_it_is_of(host: Any, photo: Any, mode: str) -> None:
    image = Image.fromarray(photo).convert(mode)
    image.info.update(icc_profile=b"a profile", parameters="a prompt")
    pp = process(host, image, **ON)
    assert pp.image.info == ({"icc_profile": b"a profile"} if mode.startswith("RGB") else {})


def test_alpha_grows_with_the_picture(host: Any, photo: Any) -> None:
    image = Image.fromarray(photo).convert("RGBA")
    pp = process(host, image, **ON, scale="2")
    assert pp.image.mode == "RGBA" and pp.image.size == (640, 480)
    assert np.asarray(pp.image)[..., 3].min() == 255


def test_infotext_names_strength_model_and_faces(host: Any, photo: Any) -> None:
    info = process(host, Image.fromarray(photo), **ON).info
    assert info == {"GPEN strength": 0.8, "GPEN model": "0123456789", "GPEN faces restored": 2}


def test_infotext_names_what_is_not_the_default(host: Any, photo: Any) -> None:
    values = {"strength": 0.1 + 0.2, "select": "0,1", "max_faces": 1.0, "template": "ffhq", "scale": "2"}
    info = process(host, Image.fromarray(photo), **ON, **values).info
    own = {"GPEN strength": 0.3, "GPEN select": "0,1", "GPEN max faces": 1, "GPEN template": "ffhq", "GPEN scale": 2}
    assert info == {**own, "GPEN model": "0123456789", "GPEN faces restored": 1}


def test_in_txt2img_no_picture_inherits_the_text_of_another(host: Any, photo: Any) -> None:
    script, p = host.scripts["GpenPostprocessing"](), SimpleNamespace(extra_generation_params={})

    def text(**values: Any) -> dict[str, Any]:
        """What modules/scripts_auto_postprocessing.py makes of one picture of a batch."""
        pp = SimpleNamespace(image=Image.fromarray(photo), info={})
        script.process(pp, **ON, **values)
        p.extra_generation_params.update(pp.info)
        return written(p.extra_generation_params)

    first = text(scale="2", template="ffhq")
    assert first["GPEN scale"] == 2
    host.when_detecting.append(lambda: 1 / 0)
    assert text(scale="2", template="ffhq") == {"GPEN": "picture left as it was: an error"}
    host.when_detecting.clear()
    assert text(scale="2", template="ffhq") == first
    assert set(text()) == {"GPEN strength", "GPEN model", "GPEN faces restored"}


def test_a_file_replaced_by_an_older_one_has_another_hash(
    host: Any, photo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host remembers hashes by a title, until the file is younger than it was."""
    titles: list[str] = []
    monkeypatch.setattr(host.hashes, "sha256", lambda file, title: titles.append(title) or "0123456789abcdef")
    path = host.folder / "GPEN" / "GPEN-BFR-64.pth"
    for time in (2_000_000_000, 1_000_000_000):
        os.utime(path, (time, time))
        process(host, Image.fromarray(photo), **ON)
    assert len(set(titles)) == 2 and all(title.startswith("gpen/GPEN-BFR-64.pth/") for title in titles)


def test_the_files_name_where_the_host_does_not_hash(host: Any, photo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.hashes, "sha256", lambda file, title: None)
    assert process(host, Image.fromarray(photo), **ON).info["GPEN model"] == "GPEN-BFR-64"


def test_a_picture_is_not_called_unrestored_where_the_hosts_hashes_fail(
    host: Any, photo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(file: str, title: str) -> str:
        raise OSError("attempt to write a readonly database")

    monkeypatch.setattr(host.hashes, "sha256", fail)
    pp = process(host, Image.fromarray(photo), **ON)
    assert (np.asarray(pp.image) != photo).any()
    assert pp.info["GPEN model"] == "GPEN-BFR-64" and "GPEN" not in pp.info and not host.errors_reported


def test_the_host_writes_no_strength_down_that_would_outlive_the_setting(host: Any) -> None:
    made = host.scripts["GpenPostprocessing"]().ui()
    kept_out = [name for name, control in made.items() if getattr(control, "do_not_save_to_config", False)]
    assert kept_out == ["strength"]


@pytest.mark.parametrize(
    ("values", "seen", "reason"),
    [
        ({"select": "nobody"}, "nobody", "an option is out of range"),
        ({"strength": 2}, "strength is 2", "an option is out of range"),
        ({"model": "lost.pth"}, "lost.pth", "weights are missing"),
    ],
)
def test_failures_leave_the_picture_and_say_so(host: Any, photo: Any, values: Any, seen: str, reason: str) -> None:
    image = Image.fromarray(photo)
    pp = process(host, image, **{**ON, **values})
    assert pp.image is image and pp.info == {"GPEN": f"picture left as it was: {reason}"}
    assert seen in host.errors_reported[0]
    assert str(host.folder) not in str(pp.info)


def test_face_numbers_choose_faces(host: Any, photo: Any) -> None:
    after = np.asarray(process(host, Image.fromarray(photo), **ON, select="1").image)
    changed = (after != photo).any(-1)
    assert changed[60:80, 60:80].any() and not changed[110:150, 200:250].any()
