"""Texts of generated pictures: what pasting them brings back, and what they say of a picture left as it was."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

OTHERS = {"gpen_mask": "parse", "gpen_max_turn": 60, "gpen_min_face": 200}


def test_what_the_text_of_a_picture_leaves_out_is_the_default_again(host: Any) -> None:
    options, p = host.settings.restorer_options(), SimpleNamespace(restore_faces=True, extra_generation_params={})
    host.scripts["GpenInfotext"]().process(p)
    host.opts.update(OTHERS)
    overrides = host.paste(p.extra_generation_params)
    assert set(overrides) == set(OTHERS)  # and no others, which the user would see for nothing
    host.opts.update(overrides)
    assert host.settings.restorer_options() == options


def test_the_text_of_another_picture_leaves_the_settings_alone(host: Any) -> None:
    host.opts.update(OTHERS)
    assert host.paste({"Steps": 20, "Face restoration": "CodeFormer"}) == {}


def test_fields_that_the_host_disregards_stay_disregarded(host: Any) -> None:
    host.opts.update(**OTHERS, infotext_skip_pasting=["GPEN mask"])
    assert set(host.paste({"GPEN strength": 0.8})) == {"gpen_max_turn", "gpen_min_face"}


def test_a_host_that_tells_of_no_pasting_gets_all_else(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    known = type(host.script_callbacks).__getattr__

    def knows(self: Any, name: str) -> Any:
        if name == "on_infotext_pasted":
            raise AttributeError(name)
        return known(self, name)

    host.callbacks.clear()
    monkeypatch.setattr(type(host.script_callbacks), "__getattr__", knows)
    host.load()
    assert {"on_ui_settings", "on_app_started"} < set(host.callbacks)
    assert "on_infotext_pasted" not in host.callbacks


class Generation:
    """A request whose pictures are restored and given their texts in the order of A1111's modules/processing.py."""

    def __init__(self, host: Any, extra: dict[str, Any] | None = None):
        self.host, self.restore_faces = host, True
        self.extra_generation_params: dict[str, Any] = {} if extra is None else extra
        self.script = host.scripts["GpenInfotext"]()
        self.script.process(self)

    def text(self, photo: Any, others: Callable[[], object] = lambda: None) -> dict[str, Any]:
        """What the text of one more picture has; `others` restore faces before our script is called."""
        if self.restore_faces:
            self.host.restorer().restore(photo)
        others()
        self.script.postprocess_image(self, SimpleNamespace(image=None))
        return {name: value for name, value in self.extra_generation_params.items() if value is not None}


def _stop(host: Any) -> None:
    host.shared.state.interrupted = True


def _fill_memory(host: Any) -> None:
    raise torch.cuda.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize(("event", "reason"), [(_stop, "stopped"), (_fill_memory, "not enough memory")])
def test_only_the_picture_left_as_it_was_says_so(host: Any, photo: Any, event: Any, reason: str) -> None:
    generation = Generation(host)
    first = generation.text(photo)
    host.when_detecting.append(lambda: event(host))
    second = generation.text(photo)
    host.when_detecting.clear()
    host.shared.state.interrupted = False
    third = generation.text(photo)
    assert second == {**first, "GPEN": f"picture left as it was: {reason}"}
    assert "GPEN" not in first and third == first


def test_missing_weights_are_told_in_the_text(bare_host: Any, photo: Any) -> None:
    assert Generation(bare_host).text(photo)["GPEN"] == "picture left as it was: weights are missing"


def test_an_impossible_setting_is_told_in_the_text(host: Any, photo: Any) -> None:
    host.opts["gpen_select"] = "everyone"
    assert Generation(host).text(photo) == {"GPEN": "picture left as it was: an option is out of range"}


def test_a_picture_that_is_not_to_be_restored_says_nothing(host: Any, photo: Any) -> None:
    """Not even where it shares its texts with one that was left as it was, as pictures of a grid do."""
    host.opts["gpen_select"] = "everyone"
    generation = Generation(host)
    generation.text(photo)
    other = Generation(host, generation.extra_generation_params)
    other.restore_faces = False
    other.script.process(other)
    assert other.text(photo) == {}


@pytest.mark.parametrize("fails", ["script", "restorer"])
def test_beside_the_script_the_text_tells_of_what_restored_the_picture(host: Any, photo: Any, fails: str) -> None:
    """Where the script for Extras is on in txt2img, too."""
    generation, script = Generation(host), host.scripts["GpenPostprocessing"]()
    alone = generation.text(photo)

    def process() -> None:
        pp = SimpleNamespace(image=Image.fromarray(photo), info={"Upscaler": "Lanczos"})
        host.opts["gpen_select"] = "all"
        script.process(pp, enable=True, model="GPEN-BFR-64.pth", strength=9 if fails == "script" else 0.5)
        generation.extra_generation_params.update(pp.info)

    host.opts["gpen_select"] = "everyone" if fails == "restorer" else "all"
    text = generation.text(photo, process)
    if fails == "script":
        assert text == {**alone, "Upscaler": "Lanczos"}
    else:
        assert "GPEN" not in text and text["GPEN strength"] == 0.5 and text["GPEN faces restored"] == 2


def test_what_others_fail_to_restore_is_not_told_of_the_picture(host: Any, photo: Any) -> None:
    """ADetailer and others restore the faces they have made with the same restorer."""
    crop = np.ascontiguousarray(photo[:200])

    def fail() -> None:
        _stop(host)
        host.restorer().restore(crop)
        host.shared.state.interrupted = False

    host.restorer().restore(crop)  # in an earlier generation
    generation = Generation(host)
    _stop(host)
    assert generation.text(photo, others=fail)["GPEN"] == "picture left as it was: stopped"
    assert "GPEN" not in generation.text(photo, others=fail)
