"""Texts of generated pictures: what pasting them brings back, and what they say of a picture left as it was."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

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
