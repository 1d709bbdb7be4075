"""Which pixels of a crop are face: facexlib's ParseNet, with weights read by us."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .defaults import no_autocast, ordinary_tensors
from .errors import CheckpointError, InvalidOptionError, MissingPackageError
from .options import RestoreOptions
from .weight_files.describing import describe_state_dict
from .weight_files.state_dicts import read_state_dict

PARSE_SIZE = 512  # px; the resolution ParseNet was trained at
VALUES_PER_PIXEL = 394  # float32 alive at the worst moment, where the decoder is back at the full size
# Of CelebAMask-HQ's 19 classes: skin, nose, glasses, eyes, brows, ears, mouth, lips and hair …
FACE_AND_HAIR = (*range(1, 14), 15)  # … and earrings, which facexlib's MASK_COLORMAP keeps too; not hat, neck and cloth
FACE = tuple(range(1, 13))  # without hair, hat and earrings
SKIN = (1, 2)  # with the nose
SOFT_EDGE = 0.6  # width of a box filter, in units of `feather`; two of them make a smooth edge …
INNER_EDGE = 0.75  # … and one after an erosion of this width a straight ramp, the least steep on so little room
SPECK = 9  # px; what a parser calls otherwise in a smaller spot does not count
FEATHER = 0.1  # of the crop, as RestoreOptions has it


class FaceParser:
    """ParseNet around one module, `network`, which a host may manage."""

    def __init__(self, network: nn.Module):
        self.network = network

    def memory_required(self) -> int:
        """Bytes while it looks at a crop, without that crop."""
        return VALUES_PER_PIXEL * torch.float32.itemsize * PARSE_SIZE**2

    @torch.no_grad()
    def classes(self, crops: Tensor | Sequence[Tensor]) -> Tensor:
        """The class of each pixel (N, 512, 512) of N `crops` (3, S, S) RGB in [0, 1]; in turn, to spare memory."""
        return torch.cat([self._classes(crop[None]) for crop in crops])

    def _classes(self, crop: Tensor) -> Tensor:
        small = F.interpolate(crop, size=(PARSE_SIZE, PARSE_SIZE), mode="bilinear", antialias=True)
        with no_autocast(small.device):
            return self.network(small * 2 - 1)[0].argmax(dim=1)


@dataclass(frozen=True)
class Parsed:
    """What of a crop is to be shown, and what of it is skin: (M, M) float32 in [0, 1], with soft edges."""

    mask: Tensor
    skin: Tensor


def parse(parser: FaceParser | None, before: Tensor, after: Tensor, options: RestoreOptions) -> Parsed | None:
    """What the mask option makes of a crop (3, S, S) before and after restoration; None when it is the box.

    "parse" is the authors' way: whatever is face or hair after restoration. "face" is narrower: what is face, without
    hair and hat, both in the photo and after, so that a hand or a microphone before the face stays as it was.
    Raises InvalidOptionError without a parser.
    """
    if not options.needs_parser:
        return None
    if parser is None:
        raise InvalidOptionError(
            f"mask is {options.mask!r} without a ParseNet; wanted parsing_parsenet.pth, or mask 'box'"
        )
    if options.mask == "parse":
        classes = parser.classes((after,))
        mask = soft_mask(classes, FACE_AND_HAIR, options.feather)[0]
        return Parsed(mask, soft_mask(classes, SKIN, inside=True)[0])
    classes = parser.classes((before, after))
    mask = soft_mask(classes, FACE, options.feather, inside=True).amin(dim=0)
    return Parsed(mask, soft_mask(classes[1:], SKIN, inside=True)[0])


def soft_mask(classes: Tensor, wanted: Sequence[int], feather: float = FEATHER, *, inside: bool = False) -> Tensor:
    """Where `classes` (N, M, M) is one of `wanted`: (N, M, M) float32 in [0, 1].

    The edge is soft over about `feather` of the crop, half of it to each side; with `inside` it lies inside, and
    nothing beyond the wanted classes is touched.
    """
    soft = torch.isin(classes, torch.tensor(wanted, device=classes.device)).float()[:, None]
    width = feather * classes.shape[-1]
    if inside:
        whole = (_box_filtered(soft, SPECK) > 0.5).float()
        return _box_filtered(_eroded(whole, INNER_EDGE * width), INNER_EDGE * width)[:, 0]
    return _box_filtered(_box_filtered(soft, SOFT_EDGE * width), SOFT_EDGE * width)[:, 0]


def _box_filtered(mask: Tensor, width: float) -> Tensor:
    """The mean of `mask` (N, 1, M, M) over about `width` pixels around each."""
    odd = _odd(width)
    for size in ((1, odd), (odd, 1)):
        padding = (size[0] // 2, size[1] // 2)
        mask = F.avg_pool2d(mask, size, stride=1, padding=padding, count_include_pad=False)
    return mask


def _eroded(mask: Tensor, width: float) -> Tensor:
    """The least of `mask` (N, 1, M, M) over about `width` pixels around each."""
    odd = _odd(width)
    for size in ((1, odd), (odd, 1)):
        mask = -F.max_pool2d(-mask, size, stride=1, padding=(size[0] // 2, size[1] // 2))
    return mask


def _odd(width: float) -> int:
    """`width`, so that it has a middle."""
    return round(width) // 2 * 2 + 1


@ordinary_tensors()
def load_parser(path: str | Path, *, device: torch.device | str = "cpu") -> FaceParser:
    """The ParseNet in `path` (parsing_parsenet.pth).

    Raises CheckpointError when it is another network or damaged, and MissingPackageError without facexlib.
    """
    try:
        from facexlib.parsing.parsenet import ParseNet
    except ImportError as error:
        raise MissingPackageError.after(error) from error
    state = read_state_dict(path)
    network: nn.Module = ParseNet(in_size=PARSE_SIZE, out_size=PARSE_SIZE, parsing_ch=19).float()
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise CheckpointError(f"{path}: this is {describe_state_dict(state)}; wanted facexlib's ParseNet") from error
    return FaceParser(network.train(False).to(device))
