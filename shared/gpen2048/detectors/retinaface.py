"""RetinaFace: facexlib's network with weights read by us, its anchors, and what its outputs mean.

J. Deng et al., "RetinaFace: Single-Shot Multi-Level Face Localisation in the Wild", CVPR 2020, in the version of
biubug6/Pytorch_Retinaface, on which facexlib builds.

Its pixels are counted from the image's corner, so that pixel centres lie at halves: its training mirrors x to W - x,
and only so are the landmarks found in a mirrored photo those of the photo.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

# Under a name of its own, since ComfyUI's registry takes the last letters of theirs for Python's eval.
from torch.nn.utils.fusion import fuse_conv_bn_eval as fused

from ..errors import CheckpointError, MissingPackageError
from ..weight_files.describing import all_finite, describe_state_dict

# What each kind is called in facexlib, and a key that only its backbone has.
KINDS = {
    "retinaface_resnet50": ("resnet50", "body.layer4.0.conv1.weight"),
    "retinaface_mobile0.25": ("mobile0.25", "body.stage3.0.0.weight"),
}
ANCHORS = ((8, (16, 32)), (16, (64, 128)), (32, (256, 512)))  # stride in px: sides in px (facexlib's generate_config)
CENTRE_VARIANCE, SIZE_VARIANCE = 0.1, 0.2  # units of the regression outputs (facexlib's generate_config)
MEAN_BGR = (104.0, 117.0, 123.0)  # subtracted from 0-255 images in training (facexlib's RetinaFace.mean_tensor)
FLOATS: Any = {"dtype": torch.float32, "device": "cpu"}
CACHED_SHAPES = 16  # anchors of a full tile take 2 MB


def network_kind(state: Mapping[str, Tensor], path: str | Path) -> str:
    """Which of KINDS the weights belong to; CheckpointError naming what they are if to none."""
    for kind, (_, key) in KINDS.items():
        if key in state:
            return kind
    found = describe_state_dict(state)
    raise CheckpointError(f"{path}: this is {found}; wanted a RetinaFace detector with a {' or '.join(KINDS)} backbone")


def build_network(kind: str) -> nn.Module:
    """facexlib's RetinaFace, evaluated on the CPU, with random weights; MissingPackageError without facexlib."""
    try:
        from facexlib.detection.retinaface import RetinaFace
    except ImportError as error:
        raise MissingPackageError.after(error) from error
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="torchvision")  # facexlib says pretrained=False
        network = RetinaFace(network_name=KINDS[kind][0], device="cpu")
    return cast(nn.Module, network).train(False).float()


def load_weights(network: nn.Module, state: Mapping[str, Tensor], path: str | Path) -> None:
    """Copies `state` into `network`; CheckpointError unless keys and shapes are its own and all values finite."""
    wanted = cast("dict[str, Tensor]", network.state_dict())
    for what, keys in (("misses", wanted.keys() - state.keys()), ("has unknown", state.keys() - wanted.keys())):
        if keys:
            raise CheckpointError(f"{path}: this RetinaFace detector {what} {len(keys)} keys, such as {min(keys)}")
    for key, tensor in state.items():
        if tensor.shape != wanted[key].shape:
            shapes = f"shape {tuple(tensor.shape)}; wanted {tuple(wanted[key].shape)}"
            raise CheckpointError(f"{path}: key {key} of this RetinaFace detector has {shapes}")
        if not all_finite(tensor):
            raise CheckpointError(f"{path}: key {key} of this RetinaFace detector holds NaN or infinity")
    network.load_state_dict(dict(state), strict=True)


def fold_batch_norms(network: nn.Module) -> None:
    """Makes each batch norm of an evaluated network part of the convolution before it: the same function in less time.

    Pairs are recognised as facexlib and torchvision write them: neighbours in a Sequential, or conv1 and bn1.
    """
    for module in network.modules():
        children = list(module.named_children())
        followers = dict(zip((name for name, _ in children), children[1:]))
        for name, layer in children:
            after, norm = followers.get(name, ("", None))
            paired = isinstance(module, nn.Sequential) or after == name.replace("conv", "bn")
            if paired and isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, name, fused(layer, norm))
                setattr(module, after, nn.Identity())


def network_input(image: Tensor) -> Tensor:
    """(…, 3, H, W) RGB in [0, 1] as the network wants it: BGR, 0-255, without the mean, which becomes zero."""
    mean = torch.tensor(MEAN_BGR, device=image.device, dtype=torch.float32)[:, None, None]
    return torch.add(-mean, image.float().flip(-3), alpha=255)


@lru_cache(CACHED_SHAPES)
def anchor_boxes(height: int, width: int) -> Tensor:
    """(A, 4) float32 centre x, centre y, width, height in px of the network's anchors, in the order of its outputs.

    On the CPU. The same as facexlib's PriorBox, which divides by the image's size, without its loop in Python.
    """
    levels: list[Tensor] = []
    for stride, sides in ANCHORS:
        rows, columns = -(-height // stride), -(-width // stride)
        y, x = ((torch.arange(count, **FLOATS) + 0.5) * stride for count in (rows, columns))
        grid = torch.meshgrid(y, x, torch.tensor(sides, **FLOATS), indexing="ij")
        levels.append(torch.stack((grid[1], grid[0], grid[2], grid[2]), dim=-1).reshape(-1, 4))
    return torch.cat(levels)


def decode_boxes(offsets: Tensor, anchors: Tensor) -> Tensor:
    """(…, A, 4) network outputs and (A, 4) anchors to (…, A, 4) boxes x0, y0, x1, y1 in px."""
    centre = anchors[:, :2] + offsets[..., :2] * CENTRE_VARIANCE * anchors[:, 2:]
    half = anchors[:, 2:] * torch.exp(offsets[..., 2:] * SIZE_VARIANCE) / 2
    return torch.cat((centre - half, centre + half), dim=-1)


def decode_landmarks(offsets: Tensor, anchors: Tensor) -> Tensor:
    """(…, A, 10) network outputs and (A, 4) anchors to (…, A, 5, 2) points in px."""
    points = offsets.reshape(*offsets.shape[:-1], 5, 2)
    return anchors[:, None, :2] + points * CENTRE_VARIANCE * anchors[:, None, 2:]
