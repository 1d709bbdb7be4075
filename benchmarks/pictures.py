"""Pictures to measure on, the same on every machine, with the places of their faces."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from gpen2048.faces import Face
from gpen2048.geometry.resampling import lanczos_resize
from gpen2048.images import read_image
from torch import Tensor

TESTS = Path(__file__).parent.parent / "tests"
GRAIN = 2 / 255  # standard deviation of the noise of a camera's pixels
# scikit-image's astronaut: her landmarks, and the part of the picture that makes a selfie.
LANDMARKS = np.array([[204, 113], [246, 111], [226, 141], [207, 157], [245, 156]], np.float64)
BOX = np.array([176, 64, 272, 184], np.float64)
SELFIE = (30, 0, 400)  # left, top, side


def group_photo() -> tuple[Tensor, list[Face]]:
    """The Solvay conference, (3, 568, 1328), and its 29 faces of about 45 px."""
    golden = json.loads((TESTS / "golden" / "alignment.json").read_text())["faces"]
    faces = [Face(np.array(face["box"]), np.array(face["landmarks"]), face["score"]) for face in golden]
    return read_image(TESTS / "data" / "solvay-1927.png").pixels, faces


def portrait() -> tuple[Tensor, list[Face]]:
    """scikit-image's astronaut, (3, 512, 512), and her face of about 100 px."""
    from skimage import data

    pixels = torch.from_numpy(data.astronaut().copy()).permute(2, 0, 1).float() / 255
    return pixels, [Face(BOX, LANDMARKS)]


def selfie(side: int = 4000) -> tuple[Tensor, list[Face]]:
    """The astronaut's head and shoulders enlarged to `side` px, with a camera's grain: a face of 1100 px in 4000."""
    pixels, faces = portrait()
    left, top, length = SELFIE
    pixels = pixels[:, top : top + length, left : left + length].contiguous()
    moved = [Face(face.box - [left, top, left, top], face.landmarks - [left, top]) for face in faces]
    return resized(pixels, moved, side / length)


def resized(pixels: Tensor, faces: list[Face], scale: float) -> tuple[Tensor, list[Face]]:
    """Picture and faces enlarged or shrunk by `scale`, with grain."""
    size = (round(pixels.shape[1] * scale), round(pixels.shape[2] * scale))
    image = lanczos_resize(pixels, scale, size)
    image += GRAIN * torch.randn(image.shape, generator=torch.Generator().manual_seed(1))
    moved = [Face(scale * (f.box + 0.5) - 0.5, scale * (f.landmarks + 0.5) - 0.5, f.score) for f in faces]
    return image.clamp_(0, 1), moved
