"""The background through an upscale model: spandrel's Compact, with weights whose result is known."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from gpen2048 import CheckpointError, FaceRestorer, RestoreOptions, WeightsNotFoundError, load_upscaler
from gpen2048.cli import main
from gpen2048.errors import InvalidOptionError
from gpen2048.faces import Face
from gpen2048.geometry.enlarging import enlarge
from gpen2048.geometry.upscaling import MARGIN, TILE, Upscaler
from gpen2048.inference import Network
from PIL import Image
from torch import Tensor


@pytest.fixture(scope="module")
def compact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Compact network with all weights zero: what is left is its 2x enlargement by repetition."""
    pytest.importorskip("spandrel", reason="needs spandrel")
    from spandrel.architectures.Compact import Compact

    model = Compact(num_in_ch=3, num_out_ch=3, num_feat=4, num_conv=1, upscale=2)
    path = tmp_path_factory.mktemp("upscaler") / "x2.pth"
    torch.save({"params": {key: torch.zeros_like(value) for key, value in model.state_dict().items()}}, path)
    return path


def repeated(image: Tensor, times: int) -> Tensor:
    return image.repeat_interleave(times, 1).repeat_interleave(times, 2)


def test_a_model_enlarges_by_its_factor(compact: Path) -> None:
    upscaler = load_upscaler(compact)
    photo = torch.rand(3, 50, 40)
    assert upscaler.scale == 2 and torch.allclose(upscaler(photo, (100, 80)), repeated(photo, 2), atol=1e-6)


@pytest.mark.parametrize("scale", [1.5, 2, 3, 4])
def test_lanczos_does_the_rest(compact: Path, scale: float) -> None:
    coarse = torch.rand(1, 3, 6, 5, generator=torch.Generator().manual_seed(7))
    photo = F.interpolate(coarse, (60, 50), mode="bicubic")[0].clamp(0, 1)  # smooth
    size = (round(60 * scale), round(50 * scale))
    result = load_upscaler(compact)(photo, size)
    wanted = F.interpolate(photo[None], size, mode="bicubic", antialias=True)[0]
    assert result.shape == (3, *size) and result.min() >= 0 and result.max() <= 1
    assert (result - wanted)[:, 8:-8, 8:-8].abs().mean() < 0.02


@pytest.mark.parametrize("size", [(TILE + 40, 30), (30, TILE + 40), (1, 1), (TILE, 2 * TILE + 1)])
def test_tiles_meet_without_a_seam(size: tuple[int, int]) -> None:
    """A model that looks 24 px around, which is less than the margin, gives the same in tiles and at once."""
    assert MARGIN >= 24

    def model(image: Tensor) -> Tensor:
        padded = F.pad(image, (24, 24, 24, 24), mode="replicate")
        return F.interpolate(F.avg_pool2d(padded, (49, 1), 1)[..., 24:-24], scale_factor=2, mode="nearest")

    model.scale = 2  # pyright: ignore[reportFunctionMemberAccess]  as spandrel's descriptors have it
    photo = torch.rand(3, *size)
    wanted = model(photo[None])[0]
    assert torch.allclose(Upscaler(model)(photo, (2 * size[0], 2 * size[1])), wanted, atol=1e-6)


@pytest.mark.parametrize("size", [(22, 1000), (1000, 22), (101, 3000), (501, 1000)])
def test_what_is_behind_the_faces_lies_where_it_was(size: tuple[int, int]) -> None:
    """An edge near the far ends, at a scale that gives no whole pixels."""

    def model(image: Tensor) -> Tensor:
        return repeated(image[0], 4)[None]

    model.scale = 4  # pyright: ignore[reportFunctionMemberAccess]
    photo = torch.zeros(3, *size)
    photo[:, :, size[1] - 10 :] = photo[:, size[0] - 10 :] = 1
    result, wanted = enlarge(photo, 1.37, Upscaler(model)), enlarge(photo, 1.37)
    assert bool(torch.isfinite(result).all())
    for axis in (0, 1):
        middle = (result[0] if axis else result[0].mT)[result.shape[1 + (1 - axis)] // 4]
        other = (wanted[0] if axis else wanted[0].mT)[wanted.shape[1 + (1 - axis)] // 4]
        assert abs(int((middle < 0.5).sum()) - int((other < 0.5).sum())) <= 1


def test_an_upscaler_without_anything_to_do_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    for command in (["restore", "a.png", "-o", "b.png"], ["batch", "a.png", "out"]):
        names = [str(tmp_path / name) if "." in name or name == "out" else name for name in command]
        assert main([*names, "--upscaler", "x.pth"]) == 1
        assert "--upscaler enlarges, and --scale is 1; wanted --scale 2, 4 or auto" in capsys.readouterr().err


def test_behind_the_faces_is_the_model_s_picture(compact: Path, tiny_passthrough: Network, portrait_face: Face) -> None:
    photo = torch.rand(3, 300, 300)
    result = FaceRestorer(tiny_passthrough)(
        photo, RestoreOptions(scale=2), faces=[portrait_face], background=load_upscaler(compact)
    )
    outside = result.mask == 0
    assert outside.any() and torch.allclose(result.image[:, outside], repeated(photo, 2)[:, outside], atol=1e-6)


def test_wrong_files_are_named(tmp_path: Path, compact: Path) -> None:
    torch.save({"ClassHead.0.conv1x1.weight": torch.zeros(2)}, tmp_path / "detector.pth")
    with pytest.raises(CheckpointError, match="this is a RetinaFace detector; wanted an upscale model"):
        load_upscaler(tmp_path / "detector.pth")
    with pytest.raises(WeightsNotFoundError, match=r"none\.pth: no such file"):
        load_upscaler(tmp_path / "none.pth")
    from spandrel.architectures.Compact import Compact

    grey = Compact(num_in_ch=1, num_out_ch=1, num_feat=4, num_conv=1, upscale=2)
    torch.save(grey.state_dict(), tmp_path / "grey.pth")
    with pytest.raises(CheckpointError, match="wanted one that enlarges RGB pictures"):
        load_upscaler(tmp_path / "grey.pth")


@pytest.mark.parametrize("key", ["model_state_dict", "params-ema", "model", "net", "any"])
def test_models_are_read_out_of_what_trainers_wrap_them_in(tmp_path: Path, compact: Path, key: str) -> None:
    state = torch.load(compact, weights_only=True)["params"]
    more = {} if key == "any" else {"epoch": 3}
    torch.save({key: {f"module.{name}": value for name, value in state.items()}, **more}, tmp_path / "x2.pth")
    assert load_upscaler(tmp_path / "x2.pth").scale == 2


def test_a_number_among_the_tensors_is_passed_on(tmp_path: Path) -> None:
    """Real-CUGAN's "pro" models have their name as one."""
    pytest.importorskip("spandrel", reason="needs spandrel")
    from spandrel.architectures.RealCUGAN import UpCunet2x

    torch.save({**UpCunet2x(pro=True).state_dict(), "pro": 1}, tmp_path / "pro.pth")
    upscaler = load_upscaler(tmp_path / "pro.pth")
    assert upscaler.scale == 2 and upscaler.model.model.is_pro
    torch.save({**UpCunet2x(pro=True).state_dict(), "pro": 1 << 100}, tmp_path / "huge.pth")
    with pytest.raises(CheckpointError, match="key pro holds no tensor"):
        load_upscaler(tmp_path / "huge.pth")


def test_weights_that_do_not_fit_are_one_line(tmp_path: Path, compact: Path) -> None:
    state = torch.load(compact, weights_only=True)["params"]
    shorter = {key: value[..., :2] if key == "body.2.weight" else value for key, value in state.items()}
    without = {key: value for key, value in state.items() if key != "body.1.weight"}
    for number, wrong in enumerate((shorter, without)):
        path = tmp_path / f"{number}.pth"
        torch.save({key: value.clone() for key, value in wrong.items()}, path)
        with pytest.raises(CheckpointError, match=f"{number}.pth: this is an unknown network of .* body") as caught:
            load_upscaler(path)
        assert len(str(caught.value).splitlines()) == 1 and len(str(caught.value)) < 600


def test_lack_of_memory_is_not_blamed_on_the_file(compact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def short(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("spandrel.ModelLoader.load_from_state_dict", short)
    with pytest.raises(MemoryError):
        load_upscaler(compact)


def test_without_spandrel_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(InvalidOptionError, match='extra "upscale"'):
        load_upscaler(tmp_path / "x.pth")
