"""Options: every default is allowed, every value out of range is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gpen2048.errors import GpenError, InvalidOptionError
from gpen2048.options import RestoreOptions, describe_options


def test_the_defaults() -> None:
    options = RestoreOptions()
    assert (options.strength, options.scale, options.select, options.template, options.mask) == (
        0.8,
        1,
        "all",
        "gpen",
        "box",
    )


def test_every_option_is_described() -> None:
    described = describe_options()
    assert len(described) >= 11
    for info in described:
        assert info.help.endswith(".") or info.help.endswith("auto.")
        assert getattr(RestoreOptions(), info.name) == info.default
        assert info.choices or info.minimum is not None or info.name == "select"


@pytest.mark.parametrize("info", [i for i in describe_options() if i.minimum is not None], ids=lambda i: i.name)
def test_ranges_hold_at_both_ends(info: Any) -> None:
    RestoreOptions(**{info.name: info.minimum})
    RestoreOptions(**{info.name: info.maximum})
    for wrong in (info.minimum - 0.01, info.maximum + 1, float("nan"), "much", True, None):
        with pytest.raises(InvalidOptionError, match=f"{info.name} is .*wanted a"):
            RestoreOptions(**{info.name: wrong})


@pytest.mark.parametrize(
    ("name", "wrong"), [("scale", 3), ("scale", "2"), ("scale", True), ("mask", "soft"), ("colour", "")]
)
def test_choices_are_closed(name: str, wrong: Any) -> None:
    with pytest.raises(InvalidOptionError, match=f"{name} is .*wanted one of"):
        RestoreOptions(**{name: wrong})


@pytest.mark.parametrize(
    ("given", "kept"), [("0,2", (0, 2)), ([3, 1], (3, 1)), ("largest", "largest"), (" 4 ", (4,)), (0, (0,))]
)
def test_faces_are_selected_by_word_or_number(given: Any, kept: Any) -> None:
    assert RestoreOptions(select=given).select == kept


@pytest.mark.parametrize("wrong", ["", "biggest", "1,,2", "-1", [], None, 2.5, [0.5], [True], True])
def test_a_wrong_selection_is_named(wrong: Any) -> None:
    with pytest.raises(InvalidOptionError, match="select is"):
        RestoreOptions(select=wrong)


def test_options_do_not_change_and_errors_are_gpen_errors() -> None:
    with pytest.raises(AttributeError):
        RestoreOptions().strength = 1.0  # pyright: ignore[reportAttributeAccessIssue]  the mistake is the test
    assert issubclass(InvalidOptionError, GpenError) and issubclass(InvalidOptionError, ValueError)


def test_numbers_of_numpy_are_numbers() -> None:
    options = RestoreOptions(
        strength=np.float32(0.5), min_face=np.int64(20), select=[np.int64(0), 2], scale=np.int64(2)
    )
    assert (options.strength, options.min_face, options.select, options.scale) == (0.5, 20, (0, 2), 2)
    assert {type(options.strength), type(options.min_face), type(options.scale)} == {float, int}
    assert RestoreOptions(select=np.int64(1)).select == (1,)
    assert RestoreOptions(select=np.array([2, 0])).select == (2, 0)  # pyright: ignore[reportArgumentType]  taken too


@pytest.mark.parametrize("wrong", [16.5, float("nan"), "16", None, True])
def test_whole_numbers_are_whole(wrong: Any) -> None:
    options = RestoreOptions(min_face=20.0, max_faces=np.float32(2))  # pyright: ignore[reportArgumentType]  taken too
    assert [(value, type(value)) for value in (options.min_face, options.max_faces)] == [(20, int), (2, int)]
    with pytest.raises(InvalidOptionError, match=r"min_face is .*; wanted a (whole )?number from 0 to"):
        RestoreOptions(min_face=wrong)
    with pytest.raises(InvalidOptionError, match="strength is True"):
        RestoreOptions(strength=np.bool_(True))
