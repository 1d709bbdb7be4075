"""Which pixels of a crop are face: facexlib's ParseNet, with weights read by us."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .checkpoint import describe_state_dict, read_state_dict
from .errors import CheckpointError

PARSE_SIZE = 512  # px; the resolution ParseNet was trained at
# CelebAMask-HQ classes left as they are: background, hat, neck_l, neck and cloth
# (MASK_COLORMAP in facexlib's utils/face_restoration_helper.py leaves the same ones out).
NOT_FACE = (0, 14, 16, 17, 18)
SOFT_EDGE = 31  # px of the 512 px mask; two box filters of this width make a smooth edge


class FaceParser:
    """ParseNet around one module, `network`, which a host may manage."""

    def __init__(self, network: nn.Module):
        self.network = network

    @torch.no_grad()
    def __call__(self, crops: Tensor) -> Tensor:
        """Soft masks (N, 512, 512) float32 in [0, 1] of `crops` (N, 3, S, S) RGB in [0, 1], on their device."""
        small = F.interpolate(crops, size=(PARSE_SIZE, PARSE_SIZE), mode="bilinear", antialias=True)
        classes = self.network(small * 2 - 1)[0].argmax(dim=1)
        face = torch.ones_like(classes, dtype=torch.float32)
        for number in NOT_FACE:
            face[classes == number] = 0
        soft = face[:, None]
        for _ in range(2):
            soft = F.avg_pool2d(soft, SOFT_EDGE, stride=1, padding=SOFT_EDGE // 2, count_include_pad=False)
        return soft[:, 0]


def load_parser(path: str | Path, *, device: torch.device | str = "cpu") -> FaceParser:
    """The ParseNet in `path` (parsing_parsenet.pth). Raises CheckpointError when it is another network or damaged."""
    from facexlib.parsing.parsenet import ParseNet

    state = read_state_dict(path)
    network = ParseNet(in_size=PARSE_SIZE, out_size=PARSE_SIZE, parsing_ch=19)
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise CheckpointError(f"{path}: this is {describe_state_dict(state)}; wanted ParseNet ({error})") from error
    return FaceParser(network.train(False).to(device))
