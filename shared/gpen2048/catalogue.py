"""The weight files this package works with: their names, sizes and hashes, and where they lie on the net.

Sizes and hashes are those that the pages offering the files state. For most GPEN networks nobody has published a hash:
there `bounds` say how large the file may be, and its tensors which network it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .errors import InvalidOptionError
from .network import NetworkConfig

Kind = Literal["network", "detector", "parser"]
SUFFIXES = (".safetensors", ".pth", ".pt", ".onnx")  # of the files that weights are read from, as they are preferred
PACKAGING = 400_000  # bytes, at most, that a file adds to its numbers; torch.save adds 60 000 to these networks
MODELSCOPE = "https://www.modelscope.cn/models/iic/cv_gpen_image-portrait-enhancement-hires"
AUTHORS = "https://public-vigen-video.oss-cn-shanghai.aliyuncs.com/robin/models"
FACEXLIB = "https://github.com/xinntao/facexlib/releases/download"
FOOOCUS = "https://huggingface.co/shaitanzx/FooocusExtend/resolve/main/faces"

GPEN_LICENCE = (
    "GPEN weights are not part of this project. Their authors' README said '© Alibaba, 2021. For academic and "
    "non-commercial use only.' until March 2026; no licence took its place, which is no permission."
)
FACEXLIB_LICENCE = "From the release files of xinntao/facexlib (MIT licence)."


@dataclass(frozen=True)
class WeightFile:
    """One file: what it is saved as, what else it is called, and in which order to try its `sources`.

    `bounds` are the fewest and the most bytes it may have; `config` is that of a network.
    """

    name: str
    file: str
    kind: Kind
    purpose: str
    bounds: tuple[int, int]
    sources: tuple[str, ...]
    licence: str
    aliases: tuple[str, ...] = ()
    sha256: str | None = None
    config: NetworkConfig | None = None

    @property
    def stems(self) -> tuple[str, ...]:
        """Names without suffix that the file goes by, the one it is saved under first."""
        return (Path(self.file).stem, *self.aliases)

    @property
    def page(self) -> str:
        """Where a person may look for it."""
        return MODELSCOPE if self.sources[0].startswith(MODELSCOPE) else self.sources[0]


def _exactly(size: int) -> tuple[int, int]:
    return size, size


def _about(numbers: int) -> tuple[int, int]:
    """Bounds of a file with so many bytes of numbers."""
    return numbers, numbers + PACKAGING


CATALOGUE = (
    WeightFile(
        "GPEN-BFR-2048",
        "GPEN-BFR-2048.pth",
        "network",
        "restores faces at 2048 px",
        _about(285_180_804),
        (
            f"{MODELSCOPE}/resolve/master/pytorch_model-2048.pt",
            f"{FOOOCUS}/GPEN-BFR-2048.pt",
            f"{AUTHORS}/GPEN-BFR-2048.pth",
        ),
        GPEN_LICENCE,
        aliases=("pytorch_model-2048",),
        config=NetworkConfig(2048),
    ),
    WeightFile(
        "GPEN-BFR-1024",
        "GPEN-BFR-1024.pth",
        "network",
        "restores faces at 1024 px",
        _about(284_843_696),
        (f"{MODELSCOPE}/resolve/master/pytorch_model.pt", f"{FOOOCUS}/GPEN-BFR-1024.pt"),
        GPEN_LICENCE,
        config=NetworkConfig(1024),
    ),
    WeightFile(
        "GPEN-BFR-512",
        "GPEN-BFR-512.pth",
        "network",
        "restores faces at 512 px",
        _exactly(284_085_738),
        (
            "https://huggingface.co/akhaliq/GPEN-BFR-512/resolve/main/GPEN-BFR-512.pth",
            f"{AUTHORS}/GPEN-BFR-512.pth",
            f"{FOOOCUS}/GPEN-BFR-512.pth",
        ),
        GPEN_LICENCE,
        aliases=("GPEN-512",),
        sha256="f1002c41add95b0decad69604d80455576f7187dd99ca16bd611bcfd44c10b51",
        config=NetworkConfig(512),
    ),
    WeightFile(
        "GPEN-BFR-256",
        "GPEN-BFR-256.pth",
        "network",
        "restores faces at 256 px",
        _about(75_517_192),
        (
            f"{AUTHORS}/GPEN-BFR-256.pth",
            "https://huggingface.co/spaces/ygtxr1997/ReliableSwap_Demo/resolve/main/third_party/GPEN/weights/GPEN-BFR-256.pth",
        ),
        GPEN_LICENCE,
        config=NetworkConfig(256, 1, 0.5),
    ),
    WeightFile(
        "RetinaFace-R50",
        "detection_Resnet50_Final.pth",
        "detector",
        "finds faces",
        _exactly(109_497_761),
        (f"{FACEXLIB}/v0.1.0/detection_Resnet50_Final.pth", f"{AUTHORS}/RetinaFace-R50.pth"),
        FACEXLIB_LICENCE,
        aliases=("RetinaFace-R50",),
        sha256="6d1de9c2944f2ccddca5f5e010ea5ae64a39845a86311af6fdf30841b0a5a16d",
    ),
    WeightFile(
        "RetinaFace-mobile",
        "detection_mobilenet0.25_Final.pth",
        "detector",
        "finds faces, sixty times smaller",
        _exactly(1_789_735),
        (f"{FACEXLIB}/v0.1.0/detection_mobilenet0.25_Final.pth",),
        FACEXLIB_LICENCE,
        sha256="38ec7bb3c9cbfe2f40edabc05fab970a6d648747cbc534092be85d5eb9b37ed0",
    ),
    WeightFile(
        "ParseNet",
        "parsing_parsenet.pth",
        "parser",
        "only for --mask parse and face",
        _exactly(85_331_193),
        (f"{FACEXLIB}/v0.2.2/parsing_parsenet.pth", f"{AUTHORS}/ParseNet-latest.pth"),
        FACEXLIB_LICENCE,
        aliases=("ParseNet-latest",),
        sha256="3d558d8d0e42c20224f13cf5a29c79eba2d59913419f945545d8cf7b72920de2",
    ),
)

# Folders below ComfyUI's models/ and below A1111's, by the kind of file.
COMFYUI_FOLDERS: dict[Kind, str] = {
    "network": "facerestore_models",
    "detector": "facedetection",
    "parser": "facedetection",
}
A1111_FOLDERS: dict[Kind, str] = {"network": "GPEN", "detector": "GPEN", "parser": "GPEN"}


def stems(kind: Kind, size: int | None = None) -> tuple[str, ...]:
    """Names without suffix of the files of one kind, in the catalogue's order; of networks, those of `size` px."""
    entries = [entry for entry in CATALOGUE if entry.kind == kind]
    if size is not None:
        entries = [entry for entry in entries if entry.config and entry.config.size == size]
    return tuple(stem for entry in entries for stem in entry.stems)


def entry_for(name: str) -> WeightFile:
    """The entry with this name, file name or alias, in any case and with any suffix; InvalidOptionError if none."""
    entry = find_entry(name)
    if entry is None:
        known = ", ".join(entry.name for entry in CATALOGUE)
        raise InvalidOptionError(f"no weight file is called {name!r}; wanted one of {known}")
    return entry


def find_entry(name: str) -> WeightFile | None:
    """As `entry_for`, but None when there is none."""
    wanted = name.lower()
    for suffix in (".safetensors", ".pth", ".pt", ".onnx"):
        wanted = wanted.removesuffix(suffix)
    for entry in CATALOGUE:
        if wanted in (stem.lower() for stem in (entry.name, *entry.stems)):
            return entry
    return None
