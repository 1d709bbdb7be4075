"""How a photo is to be restored: the one place for option names, defaults, ranges and help texts.

ComfyUI schemas, Gradio controls and command-line flags are generated from `describe_options`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal, cast

import numpy as np

from .errors import InvalidOptionError

Scale = Literal[1, 2, 4, "auto"]
Select = str | tuple[int, ...]
Order = Literal["found", "left-right", "size", "score"]


@dataclass(frozen=True)
class OptionInfo:
    """What a user interface needs to offer one option: `choices`, or a range; `advanced` ones may hide."""

    name: str
    default: Any
    help: str
    choices: tuple[Any, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    advanced: bool = False


def _option(default: Any, help: str, **info: Any) -> Any:
    return field(default=default, metadata={"help": help, **info})


@dataclass(frozen=True)
class RestoreOptions:
    """Options of one restoration; a value out of range raises InvalidOptionError naming the option and the range."""

    strength: float = _option(
        0.8, "How much of the restored face to show: 0 none, 1 nothing else.", minimum=0.0, maximum=1.0, step=0.05
    )  # 0.8: the authors' value for the 2048 network (yangxy/GPEN run.sh)
    scale: Scale = _option(
        1,
        "Enlarge the whole picture so that the detail survives; auto: until no restored face is shrunk.",
        choices=(1, 2, 4, "auto"),
    )
    select: Select = _option(
        "all", "Which faces: all, largest, centre (nearest the middle), or numbers such as 0,2 (the first is 0)."
    )
    min_face: int = _option(
        16, "Leave faces smaller than this many pixels as they are.", minimum=0, maximum=4096, step=1, advanced=True
    )
    max_faces: int = _option(
        0,
        "Restore at most this many faces, the largest first; 0: no limit.",
        minimum=0,
        maximum=1000,
        step=1,
        advanced=True,
    )
    threshold: float = _option(
        0.9, "How sure the detector must be of a face.", minimum=0.02, maximum=0.99, step=0.01, advanced=True
    )  # 0.9: the authors' value (face_enhancement.py)
    template: Literal["gpen", "ffhq"] = _option(
        "gpen",
        "How a face is framed: as GPEN's authors do, or tighter as FFHQ does.",
        choices=("gpen", "ffhq"),
        advanced=True,
    )
    mask: Literal["box", "parse", "face"] = _option(
        "box",
        "What is replaced: a soft box, the parsed face and hair, or the parsed face alone, but nothing that covers it.",
        choices=("box", "parse", "face"),
        advanced=True,
    )
    feather: float = _option(
        0.1,
        "Width of the mask's soft edge, as a fraction of the crop.",
        minimum=0.01,
        maximum=0.4,
        step=0.01,
        advanced=True,
    )
    colour: Literal["restored", "original-chroma", "match", "coloured"] = _option(
        "restored",
        "Colours of the restored face: GPEN's own, the original's under GPEN's lightness, or matched on the whole. "
        "Black and white stays so, except with coloured.",
        choices=("restored", "original-chroma", "match", "coloured"),
        advanced=True,
    )
    max_crops: int = _option(
        1000,
        "Keep the crops of at most this many faces.",
        minimum=0,
        maximum=1000,
        step=1,
        advanced=True,
    )
    # New options come last: the hosts' saved workflows and settings know the others by their place.
    adaptive: float = _option(
        0.0,
        "Give less strength to faces that are sharp and large already, more to blurred ones; 0: the same to all.",
        minimum=0.0,
        maximum=1.0,
        step=0.05,
        advanced=True,
    )
    texture: float = _option(
        0.0,
        "How much of the photo's own grain to give back to skin that came out too smooth.",
        minimum=0.0,
        maximum=1.0,
        step=0.05,
        advanced=True,
    )
    fade_until: int = _option(
        0,
        "Fade small faces in, from nothing at the smallest size to full strength at this many pixels; 0: no fading.",
        minimum=0,
        maximum=4096,
        step=1,
        advanced=True,
    )
    max_turn: int = _option(
        90,
        "Leave faces alone that are turned aside by this many degrees, and give less to those nearly so; 90: none.",
        minimum=10,
        maximum=90,
        step=5,
        advanced=True,
    )
    order: Order = _option(
        "found",
        "How faces are numbered: as found, from left to right, largest first, or surest first.",
        choices=("found", "left-right", "size", "score"),
        advanced=True,
    )
    min_score: float = _option(
        0.0,
        "Leave faces alone that the detector was less sure of than this, but report them; 0: none.",
        minimum=0.0,
        maximum=1.0,
        step=0.01,
        advanced=True,
    )
    max_scale: float = _option(
        4.0, "The most that scale auto may enlarge.", minimum=1.0, maximum=8.0, step=0.5, advanced=True
    )
    max_tilt: int = _option(
        0,
        "Look also for faces tilted by up to this many degrees, as of people lying down; it takes longer; 0: upright.",
        minimum=0,
        maximum=180,
        step=45,
        advanced=True,
    )

    @property
    def needs_parser(self) -> bool:
        return self.mask != "box"

    def __post_init__(self) -> None:
        for info in describe_options():
            object.__setattr__(self, info.name, _checked(info, getattr(self, info.name)))
        object.__setattr__(self, "select", _parse_select(self.select))


def describe_options() -> tuple[OptionInfo, ...]:
    """One OptionInfo for each field of RestoreOptions, in order."""
    return tuple(
        OptionInfo(option.name, option.default, **cast("dict[str, Any]", dict(option.metadata)))
        for option in fields(RestoreOptions)
    )


def _checked(info: OptionInfo, value: Any) -> Any:
    """`value`, as Python's own number if it is one of numpy's; InvalidOptionError if it is not allowed."""
    value = _plain(value)
    if info.choices:
        if value not in info.choices or isinstance(value, bool):
            wanted = ", ".join(str(choice) for choice in info.choices)
            raise InvalidOptionError(f"{info.name} is {value!r}; wanted one of {wanted}")
    elif info.minimum is not None and info.maximum is not None:
        wanted = f"{info.minimum:g} to {info.maximum:g}"
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not info.minimum <= value <= info.maximum:
            raise InvalidOptionError(f"{info.name} is {value!r}; wanted a number from {wanted}")
        if isinstance(info.default, int) and value != int(value):
            raise InvalidOptionError(f"{info.name} is {value!r}; wanted a whole number from {wanted}")
        return int(value) if isinstance(info.default, int) else value
    return value


def _plain(value: Any) -> Any:
    """numpy's numbers as Python's."""
    return cast(Any, value).item() if isinstance(value, np.generic) else value


def _parse_select(value: Any) -> Select:
    """A word as it is; 0, "0,2" or [0, 2] as a tuple of face numbers."""
    if isinstance(value, str) and value in ("all", "largest", "centre"):
        return value
    try:
        given: Any = value.split(",") if isinstance(value, str) else [value] if isinstance(value, int) else value
        parts = [_plain(part) for part in given]
        numbers = tuple(int(part) for part in parts if type(part) in (int, str))
    except (TypeError, ValueError):
        parts, numbers = [], ()
    if not numbers or len(numbers) < len(parts) or min(numbers) < 0:
        raise InvalidOptionError(f"select is {value!r}; wanted all, largest, centre or face numbers such as 0,2")
    return numbers
