"""No visible box: the step a face makes at its mask's edge, beside a hard box and the authors' own mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gpen2048 import FaceRestorer, RestoreOptions
from gpen2048.alignment import crop_transform
from gpen2048.faces import Face
from gpen2048.geometry.transforms import invert
from gpen2048.parsing import FaceParser
from numpy.typing import NDArray
from torch import Tensor, nn

BRIGHTER = 8 / 255
AUTHORS_SIZE, AUTHORS_RIM = 512, 26  # px (yangxy/GPEN face_enhancement.py)


class Oval(nn.Module):
    """Calls an oval skin and all else background, as a parser sees most faces."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores = torch.zeros(len(x), 19, 512, 512)
        scores[:, 1], scores[:, 0] = torch.from_numpy(oval()), torch.from_numpy(1 - oval())
        return scores, x


def oval() -> NDArray[np.float32]:
    y, x = np.mgrid[:512, :512]
    return (((x - 256) / 130) ** 2 + ((y - 290) / 170) ** 2 < 1).astype(np.float32)


def authors_mask(parsed: NDArray[np.float32], face: Face, size: tuple[int, int]) -> NDArray[np.float32]:
    """face_enhancement.py, mask_postprocess and process: rim cut off, blurred twice, warped into the photo."""
    import cv2

    mask = parsed.copy()
    mask[:AUTHORS_RIM] = mask[-AUTHORS_RIM:] = 0
    mask[:, :AUTHORS_RIM] = mask[:, -AUTHORS_RIM:] = 0
    for _ in range(2):
        mask = cv2.GaussianBlur(mask, (101, 101), 4)
    return _warped(mask, face, size, cv2.INTER_AREA)


def hard_box(face: Face, size: tuple[int, int]) -> NDArray[np.float32]:
    import cv2

    return _warped(np.ones((AUTHORS_SIZE, AUTHORS_SIZE), np.float32), face, size, cv2.INTER_NEAREST)


def _warped(mask: NDArray[np.float32], face: Face, size: tuple[int, int], how: int) -> NDArray[np.float32]:
    import cv2

    to_photo = invert(crop_transform(face.landmarks, AUTHORS_SIZE))
    return np.asarray(cv2.warpAffine(mask, to_photo, size[::-1], flags=how), np.float32)


def seam(change: NDArray[np.float32]) -> tuple[float, float]:
    """How steep `change`, in 255ths per pixel, is where it is half done: its mean along that line, and its most."""
    steepness = np.hypot(*(np.diff(change * 255, axis=axis, append=0) for axis in (0, 1)))
    half = change > BRIGHTER / 2
    line = half & ~_eroded(half)
    around = np.max([np.roll(steepness, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)], axis=0)
    return float(around[line].mean()), float(steepness.max())


def _eroded(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    neighbours = [np.roll(inside, shift, axis) for shift in (-1, 1) for axis in (0, 1)]
    return inside & np.logical_and.reduce(neighbours)


@pytest.fixture(scope="module")
def restorers(network_that: Any) -> list[FaceRestorer]:
    """One that brightens, and one that returns its input, so that their difference shows the seam alone."""
    effects = (lambda crops: crops + BRIGHTER, lambda crops: crops)
    return [FaceRestorer(network_that(effect), parser=FaceParser(Oval())) for effect in effects]


@pytest.mark.parametrize("mask", ["box", "parse", "face"])
@pytest.mark.parametrize("which", ["portrait", "group"])
def test_seams_are_a_fifth_of_a_hard_box_and_less_than_the_authors(
    restorers: list[FaceRestorer],
    portrait: Tensor,
    portrait_face: Face,
    group_photo: Tensor,
    group_faces: list[Face],
    which: str,
    mask: str,
) -> None:
    photo, face = (portrait, portrait_face) if which == "portrait" else (group_photo, group_faces[0])
    photo = photo * 0.5 + 0.2  # nothing clips
    size = (photo.shape[1], photo.shape[2])
    options = RestoreOptions(strength=1, mask=mask)  # pyright: ignore[reportArgumentType]  parametrised
    brighter, same = (restorer(photo, options, faces=[face]).image for restorer in restorers)
    ours = seam((brighter - same).mean(dim=0).numpy())
    box = seam(BRIGHTER * hard_box(face, size))
    parsed = np.ones((512, 512), np.float32) if mask == "box" else oval()
    authors = seam(BRIGHTER * authors_mask(parsed, face, size))
    for mine, hard, theirs in zip(ours, box, authors):
        assert mine < hard / 5
        assert mine < theirs
