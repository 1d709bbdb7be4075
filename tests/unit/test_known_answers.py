"""The whole pipeline with a network that returns its input: the photo must come back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from gpen2048.alignment import crop_transform
from gpen2048.faces import Face
from gpen2048.geometry.transforms import density
from gpen2048.inference import Network
from gpen2048.network import NetworkConfig
from gpen2048.options import RestoreOptions
from gpen2048.restoration import Restoration
from gpen2048.restorer import FaceRestorer
from PIL import Image
from torch import Tensor, nn

WHOLE = RestoreOptions(strength=1.0, max_crops=0)
PSNR = {1: 50.0, 2: 55.0, 4: 55.0}  # dB inside the fully masked part, at least


class Answering(nn.Module):
    """Stands in for the network: answers every crop with one picture (3, 2048, 2048) in [0, 1]."""

    def __init__(self, answer: Tensor):
        super().__init__()
        self.config = NetworkConfig(answer.shape[-1])
        self.answer = answer

    def forward(self, x: Tensor, on_stage: object = None) -> Tensor:
        return self.answer[None] * 2 - 1


def _enlarged(image: Tensor, scale: int) -> Tensor:
    """By Pillow's Lanczos, an implementation of its own."""
    if scale == 1:
        return image
    size = (image.shape[2] * scale, image.shape[1] * scale)
    channels = [Image.fromarray(channel.numpy()).resize(size, Image.Resampling.LANCZOS) for channel in image]
    return torch.stack([torch.from_numpy(np.array(channel)) for channel in channels]).clamp(0, 1)


def _check(result: Restoration, photo: Tensor, scale: int) -> None:
    wanted = _enlarged(photo, scale)
    assert result.image.shape == wanted.shape
    inside = result.mask >= 1
    error = (result.image - wanted)[:, inside].square().mean()
    assert inside.sum() > 500
    assert -10 * torch.log10(error) >= PSNR[scale]
    outside = (result.image - wanted)[:, result.mask == 0]
    assert outside.numel() > 0
    assert outside.abs().max() <= (0 if scale == 1 else 1e-5)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_the_group_photo_comes_back(
    passthrough_2048: Network, group_photo: Tensor, group_faces: list[Face], scale: int
) -> None:
    restorer = FaceRestorer(passthrough_2048)
    result = restorer(group_photo, replace(WHOLE, scale=scale), faces=group_faces[:4])
    _check(result, group_photo, scale)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_sharp_portrait_comes_back(
    passthrough_2048: Network, portrait: Tensor, portrait_face: Face, scale: int
) -> None:
    result = FaceRestorer(passthrough_2048)(portrait, replace(WHOLE, scale=scale), faces=[portrait_face])
    _check(result, portrait, scale)


@pytest.mark.parametrize("degrees", [30, 90, 170])
def test_a_turned_face_comes_back(
    passthrough_2048: Network, portrait: Tensor, portrait_face: Face, degrees: int
) -> None:
    """Landmarks turned about the face's middle: the crop is taken at an angle, and the photo still returns."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = portrait_face.landmarks.mean(axis=0)
    face = Face(portrait_face.box, (portrait_face.landmarks - middle) @ turn.T + middle, 1.0)
    _check(FaceRestorer(passthrough_2048)(portrait, WHOLE, faces=[face]), portrait, 1)


def test_a_face_half_outside_comes_back(passthrough_2048: Network, portrait: Tensor, portrait_face: Face) -> None:
    photo = portrait[:, 100:, 220:].contiguous()
    face = Face(portrait_face.box - [220, 100, 220, 100], portrait_face.landmarks - [220, 100], 1.0)
    result = FaceRestorer(passthrough_2048)(photo, WHOLE, faces=[face])
    inside = result.mask >= 1
    assert inside[0, 0]  # the crop leaves the photo there
    assert -10 * torch.log10((result.image - photo)[:, inside].square().mean()) >= 45


@pytest.fixture
def face_of_50_px(golden_alignment: object) -> Face:
    from gpen2048.alignment import face_template

    return Face(np.array([80.0, 80, 130, 130]), face_template(110) + [50.3, 50.7], 1.0)


def test_a_checkerboard_comes_out_flat_grey(face_of_50_px: Face) -> None:
    y, x = torch.meshgrid(torch.arange(2048), torch.arange(2048), indexing="ij")
    board = ((x + y) % 2).float().expand(3, -1, -1)
    result = FaceRestorer(Answering(board))(torch.zeros(3, 220, 220), WHOLE, faces=[face_of_50_px])  # pyright: ignore[reportArgumentType]  a stand-in
    assert (result.image[:, result.mask >= 1] - 0.5).abs().max() <= 2 / 255


@pytest.mark.parametrize("vertical", [False, True])
def test_a_sine_beyond_nyquist_vanishes(face_of_50_px: Face, vertical: bool) -> None:
    per_pixel = density(crop_transform(face_of_50_px.landmarks, 2048))
    y, x = torch.meshgrid(torch.arange(2048), torch.arange(2048), indexing="ij")
    frequency = 2 * 0.5 / per_pixel  # twice the output's Nyquist frequency, in cycles per crop pixel
    sine = 0.5 + 0.5 * torch.sin(2 * torch.pi * frequency * (y if vertical else x)).expand(3, -1, -1)
    result = FaceRestorer(Answering(sine))(torch.zeros(3, 220, 220), WHOLE, faces=[face_of_50_px])  # pyright: ignore[reportArgumentType]  a stand-in
    assert (result.image[:, result.mask >= 1] - 0.5).abs().max() / 0.5 <= 0.05
