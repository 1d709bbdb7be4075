"""What happens where memory runs out: it is recognised, one more attempt takes less, and others go on."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from gpen2048 import OutOfMemoryError, UnsupportedImageError, is_out_of_memory
from gpen2048.batch.pictures import Original
from gpen2048.batch.restoring import TOO_LITTLE_MEMORY, PictureRestorer
from gpen2048.cli import main
from gpen2048.errors import DONE_IN_LESS_MEMORY
from gpen2048.faces import Face
from gpen2048.inference import Network
from gpen2048.options import RestoreOptions
from gpen2048.restorer import FaceRestorer

CPU_SAYS = "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to …"


class AcceleratorError(RuntimeError):
    """As PyTorch's, since 2.8."""


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError(CPU_SAYS),
        RuntimeError("[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried …"),
        RuntimeError("MPS backend out of memory (MPS allocated: 16.0 GB)"),
        RuntimeError("Invalid buffer size: 20.00 GB"),
        RuntimeError("Could not allocate tensor with 4294967296 bytes. There is not enough GPU video memory"),
        RuntimeError("Native API failed. Native API returns: 40 (UR_RESULT_ERROR_OUT_OF_RESOURCES)"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        AcceleratorError("CUDA error: out of memory"),
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        OutOfMemoryError("cpu has too little memory"),
    ],
)
def test_every_backend_s_words_are_known(error: Exception) -> None:
    assert is_out_of_memory(error)


def test_the_processor_s_real_error_is_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**14)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("out of resource: shared memory"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "out of memory.png"),
        UnsupportedImageError("out of memory.png: not a picture"),
        KeyboardInterrupt("out of memory"),
    ],
)
def test_other_errors_are_not_taken_for_it(error: BaseException) -> None:
    assert not is_out_of_memory(error)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "net.pth"
    assert main(["passthrough", str(path), "--size", "64", "--sharpen", "2"]) == 0
    return path


@pytest.fixture
def landmarks(tmp_path: Path, group_faces: list[Face]) -> Path:
    path = tmp_path / "faces.json"
    path.write_text(json.dumps([{"landmarks": group_faces[0].landmarks.tolist()}]))
    return path


@pytest.fixture
def scarce(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """A network that runs in little memory only; how it was asked each time."""
    asked: list[bool] = []
    forward = Network.forward

    def run(network: Network, *arguments: Any, **named: Any) -> Any:
        asked.append(network.low_memory)
        if not network.low_memory:
            raise RuntimeError(CPU_SAYS)
        return forward(network, *arguments, **named)

    monkeypatch.setattr(Network, "forward", run)
    return asked


def _restore(*arguments: object) -> int:
    return main([str(argument) for argument in ("restore", *arguments, "--device", "cpu")])


def test_a_picture_is_done_once_more_in_less_memory_and_says_so(
    capsys: Any, scarce: list[bool], tmp_path: Path, photo_path: Path, network: Path, landmarks: Path
) -> None:
    inputs = [photo_path, tmp_path / "copy.png"]
    inputs[1].write_bytes(photo_path.read_bytes())
    out, report = tmp_path / "out", tmp_path / "report.json"
    given = ("--network", network, "--landmarks", landmarks, "--report", report)
    assert _restore(*inputs, "-o", out, *given) == 0
    assert scarce == [False, True] * 2  # each picture as if it were alone
    assert capsys.readouterr().out.count(DONE_IN_LESS_MEMORY) == 2 and len(list(out.iterdir())) == 2
    assert [picture["note"] for picture in json.loads(report.read_text())["pictures"]] == [DONE_IN_LESS_MEMORY] * 2


@pytest.mark.parametrize("error", [RuntimeError(CPU_SAYS), torch.cuda.OutOfMemoryError("CUDA out of memory")])
def test_too_little_memory_all_the_same_says_what_to_try(
    capsys: Any, monkeypatch: Any, tmp_path: Path, photo_path: Path, network: Path, landmarks: Path, error: Exception
) -> None:
    def full(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Network, "forward", full)
    assert _restore(photo_path, "-o", tmp_path / "o.png", "--network", network, "--landmarks", landmarks) == 1
    errors = capsys.readouterr().err
    assert "cpu has too little memory" in errors and "--precision fp16" in errors and len(errors.splitlines()) == 1
    assert not (tmp_path / "o.png").exists()


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (RuntimeError(CPU_SAYS), "too little memory"),
        (KeyError("surprise"), "KeyError: 'surprise'"),
    ],
)
def test_whatever_happens_to_one_picture_the_others_are_restored(
    capsys: Any, monkeypatch: Any, tmp_path: Path, photo_path: Path, network: Path, landmarks: Path,
    error: Exception, wanted: str,
) -> None:  # fmt: skip
    from gpen2048.cli import restoring

    read, bad = restoring.read_image, tmp_path / "bad.png"
    bad.write_bytes(photo_path.read_bytes())

    def failing(path: Path, device: torch.device) -> Any:
        if path.name == bad.name:
            raise error
        return read(path, device)

    monkeypatch.setattr(restoring, "read_image", failing)
    out = tmp_path / "out"
    assert _restore(bad, photo_path, "-o", out, "--network", network, "--landmarks", landmarks) == 1
    errors = capsys.readouterr().err
    assert f"{bad}: " in errors and wanted in errors
    assert [path.name for path in out.iterdir()] == [photo_path.name]


@pytest.mark.usefixtures("scarce")
def test_a_picture_of_a_batch_is_done_once_more_too(
    tiny_passthrough: Network, photo_path: Path, group_faces: list[Face]
) -> None:
    restorer = PictureRestorer(FaceRestorer(tiny_passthrough), torch.device("cpu"), RestoreOptions(), quality=95)
    (result,) = restorer([Original(photo_path.read_bytes(), ".png", group_faces[:2])])
    restorer.stop()
    assert (result.error, result.restored, result.remark) == ("", 2, DONE_IN_LESS_MEMORY)
    assert not tiny_passthrough.low_memory


def test_a_picture_of_a_batch_that_takes_too_much_fails_alone(photo_path: Path, group_faces: list[Face]) -> None:
    class Full:
        config, low_memory = SimpleNamespace(size=64), False

        def release(self) -> None:
            pass

        def __call__(self, crops: torch.Tensor, on_stage: Any) -> torch.Tensor:
            raise RuntimeError(CPU_SAYS)

    restorer = PictureRestorer(FaceRestorer(Full()), torch.device("cpu"), RestoreOptions(), quality=95)  # pyright: ignore[reportArgumentType]
    (result,) = restorer([Original(photo_path.read_bytes(), ".png", group_faces[:1])])
    restorer.stop()
    assert (result.error, result.data) == (TOO_LITTLE_MEMORY, b"")


def test_a_command_that_runs_out_of_memory_says_so_in_a_line(
    capsys: Any, monkeypatch: Any, tmp_path: Path, photo_path: Path, network: Path, landmarks: Path
) -> None:
    def full(*_: object, **__: object) -> None:
        raise RuntimeError(CPU_SAYS)

    monkeypatch.setattr("gpen2048.cli.loading.load_network", full)
    assert _restore(photo_path, "-o", tmp_path / "o.png", "--network", network, "--landmarks", landmarks) == 1
    errors = capsys.readouterr().err
    assert "can't allocate memory" in errors and len(errors.splitlines()) == 1


def test_a_picture_that_is_too_large_to_decode_is_not_called_damaged(monkeypatch: Any, photo_path: Path) -> None:
    from gpen2048.images import decode_image

    def full(*_: object) -> None:
        raise RuntimeError("OpenCV(4.8) Failed to allocate: error: (-4:Insufficient memory)")

    monkeypatch.setattr("gpen2048.pictures.decoding._decode_8_bit", full)
    with pytest.raises(RuntimeError, match="Insufficient memory"):
        decode_image(photo_path.read_bytes())
