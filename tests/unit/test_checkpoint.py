"""Every way a weight file can be wrong gets its own clear error, and every sound layout loads."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch
from gpen2048.checkpoint import load_network
from gpen2048.errors import CheckpointError, WeightsNotFoundError
from gpen2048.network import NetworkConfig, parameter_shapes
from gpen2048.weight_files.passthrough import passthrough_state_dict
from gpen2048.weight_files.state_dicts import read_state_dict
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

CONFIG = NetworkConfig(64, 1, 0.25)


@pytest.fixture
def state() -> dict[str, Tensor]:
    return passthrough_state_dict(CONFIG)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors", ".bin"])
def test_every_container_loads(tmp_path: Path, state: dict[str, Tensor], suffix: str) -> None:
    path = tmp_path / f"net{suffix}"
    if suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    network = load_network(path)
    x = torch.rand(1, 3, 64, 64) * 2 - 1
    assert network.config == CONFIG
    assert (network(x) - x).abs().max() < 1e-5


def test_the_old_torch_format_loads(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = tmp_path / "old.pth"
    torch.save(state, path, _use_new_zipfile_serialization=False)
    assert load_network(path).config == CONFIG


@pytest.mark.parametrize("wrapper", ["g_ema", "params_ema", "state_dict", "generator"])
def test_nested_weights_are_unwrapped(tmp_path: Path, state: dict[str, Tensor], wrapper: str) -> None:
    path = tmp_path / "net.pth"
    torch.save({wrapper: state, "iteration": 7}, path)
    assert load_network(path).config == CONFIG


def test_the_prefix_of_data_parallel_is_removed(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = tmp_path / "net.pth"
    torch.save({f"module.{key}": value for key, value in state.items()}, path)
    assert load_network(path).config == CONFIG


def test_half_precision_files_load(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = tmp_path / "net.safetensors"
    save_file({key: value.half() for key, value in state.items()}, path)
    x = torch.rand(1, 3, 64, 64) * 2 - 1
    assert (load_network(path)(x) - x).abs().max() < 5e-3


@pytest.mark.parametrize(
    "config",
    [
        NetworkConfig(64, 1, 0.125),
        NetworkConfig(64, 2, 0.25),
        NetworkConfig(128, 1, 0.25),
        NetworkConfig(256, 1, 0.5),
        NetworkConfig(512, 2, 1.0),
    ],
)
def test_size_and_width_are_read_from_the_shapes(tmp_path: Path, config: NetworkConfig) -> None:
    path = tmp_path / "whatever-1024.pth"
    reference = passthrough_state_dict(config)
    assert {key: value.shape for key, value in reference.items()} == parameter_shapes(config)
    torch.save(reference, path)
    assert load_network(path).config == config


def _error(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_network(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFoundError, match=r"none\.pth: no such file"):
        load_network(tmp_path / "none.pth")


def test_a_folder(tmp_path: Path) -> None:
    assert "folder" in _error(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "net.pth")
    assert "no file but a device or a pipe" in _error(tmp_path / "net.pth")


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.pth"
    path.touch()
    assert "empty (0 bytes)" in _error(path)


def test_a_web_page_saved_as_weights(tmp_path: Path) -> None:
    path = tmp_path / "page.pth"
    path.write_text("<!DOCTYPE html><html>Not found</html>")
    assert "web page" in _error(path)


def test_an_onnx_file(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"\x08\x06\x12\x07pytorch\x1a\x05")  # damaged; sound ones are in tests/weights
    assert "ONNX" in _error(path)


@pytest.mark.parametrize("length", [0x13C20, 0x1C03C, 0x121008])
def test_any_length_of_a_header_is_safetensors(tmp_path: Path, state: dict[str, Tensor], length: int) -> None:
    """Its first bytes are a number, which may look like the "<" of a web page, or like ONNX."""
    path = tmp_path / "net.safetensors"
    save_file(state, path)
    content = path.read_bytes()
    there = int.from_bytes(content[:8], "little")
    assert there < length
    path.write_bytes(length.to_bytes(8, "little") + content[8 : 8 + there].ljust(length) + content[8 + there :])
    assert load_network(path).config.size == 64


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kept", [0.999, 0.5, 0.01])
def test_a_truncated_file(tmp_path: Path, state: dict[str, Tensor], suffix: str, kept: float) -> None:
    path = tmp_path / f"net{suffix}"
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    assert "not a whole" in _error(path)


class Villain:
    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self) -> object:
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_wants_to_run_code(tmp_path: Path, state: dict[str, Tensor], zipped: bool) -> None:
    path, victim = tmp_path / "evil.pth", tmp_path / "victim"
    torch.save({**state, "extra": Villain(victim)}, path, _use_new_zipfile_serialization=zipped)
    assert "refused, the pickle wants to run code" in _error(path)
    assert not victim.exists()


def test_a_bare_pickle(tmp_path: Path) -> None:
    path, victim = tmp_path / "evil.pth", tmp_path / "victim"
    path.write_bytes(pickle.dumps(Villain(victim)))
    _error(path)
    assert not victim.exists()


def test_noise(tmp_path: Path) -> None:
    path = tmp_path / "noise.pth"
    path.write_bytes(bytes(range(256)) * 64)
    _error(path)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("stylegan_decoder.constant_input.weight", "a GFPGAN network"),
        ("quantize.embedding.weight", "a CodeFormer network"),
        ("final_linear.0.weight", "a discriminator"),
        ("ClassHead.0.conv1x1.weight", "a RetinaFace detector"),
        ("something.else", "an unknown network of 1 tensors (something.else"),
    ],
)
def test_another_network_is_named(tmp_path: Path, key: str, name: str) -> None:
    path = tmp_path / "other.pth"
    torch.save({key: torch.zeros(4, 4)}, path)
    message = _error(path)
    assert f"this is {name}" in message and "wanted a GPEN network" in message


def test_a_missing_and_an_unknown_key(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = tmp_path / "net.pth"
    torch.save({key: value for key, value in state.items() if key != "generator.convs.1.noise.weight"}, path)
    assert "key generator.convs.1.noise.weight is missing" in _error(path)
    torch.save({**state, "more": torch.zeros(1)}, path)
    assert "key more is unknown" in _error(path)


def test_a_wrong_shape(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = tmp_path / "net.pth"
    torch.save({**state, "generator.conv1.noise.weight": torch.zeros(2)}, path)
    assert "generator.conv1.noise.weight has shape (2,); wanted (1,)" in _error(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none(tmp_path: Path, state: dict[str, Tensor], value: float) -> None:
    path = tmp_path / "net.pth"
    state["generator.convs.2.conv.weight"][0, 0, 0, 1, 1] = value
    torch.save(state, path)
    assert "generator.convs.2.conv.weight holds NaN or infinity" in _error(path)


def test_numbers_that_float32_does_not_hold(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = tmp_path / "net.pth"
    state["ecd0.0.0.weight"] = state["ecd0.0.0.weight"].double()
    state["ecd0.0.0.weight"][0, 0, 0, 0] = 1e300
    torch.save(state, path)
    assert "ecd0.0.0.weight holds NaN or infinity" in _error(path)


def test_weights_of_eight_bits(tmp_path: Path, state: dict[str, Tensor]) -> None:
    if not hasattr(torch, "float8_e4m3fn"):
        pytest.skip("this PyTorch has no numbers of eight bits")
    path = tmp_path / "net.safetensors"
    save_file({**state, "ecd0.0.0.weight": state["ecd0.0.0.weight"].to(torch.float8_e4m3fn)}, path)
    assert load_network(path).config.size == 64


def test_integers_instead_of_weights(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = tmp_path / "net.pth"
    torch.save({**state, "generator.conv1.noise.weight": torch.zeros(1, dtype=torch.int64)}, path)
    assert "holds torch.int64" in _error(path)


def test_another_filter_than_the_published(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = tmp_path / "net.pth"
    torch.save({**state, "ecd1.0.0.kernel": torch.full((4, 4), 1 / 16)}, path)
    assert "ecd1.0.0.kernel is not the published FIR filter" in _error(path)


def test_a_state_dict_with_something_else_in_it(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = tmp_path / "net.pth"
    torch.save({**state, "epoch": 3}, path)
    assert "key epoch holds no tensor" in _error(path)
    torch.save([1, 2, 3], path)
    assert "no named tensors but list" in _error(path)


def test_the_wrong_size_is_named(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = tmp_path / "GPEN-BFR-2048.pth"
    torch.save(state, path)
    with pytest.raises(CheckpointError, match="this is the 64 network; wanted the 2048 network"):
        load_network(path, size=2048)


def test_reading_leaves_the_file_free(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = tmp_path / "net.pth"
    torch.save(state, path)
    network = load_network(path)
    x = torch.rand(1, 3, 64, 64)
    before = network(x)
    torch.save({key: torch.zeros_like(value) for key, value in state.items()}, path)
    assert torch.equal(network(x), before)
    assert read_state_dict(path).keys() == state.keys()


@pytest.mark.parametrize("shapes", [(0, 8), (8, 0), (4096, 8), (8, 4096), (1 << 20, 1 << 20)])
def test_impossible_widths(tmp_path: Path, state: dict[str, Tensor], shapes: tuple[int, int]) -> None:
    state["generator.input.input"] = torch.zeros(1, shapes[0], 1, 1)
    state["ecd0.0.0.weight"] = torch.zeros(shapes[1], 1, 1, 1)
    path = tmp_path / "net.pth"
    torch.save(state, path)
    assert "this is " in _error(path)


@pytest.mark.parametrize("format_name", ["PNG", "JPEG", "GIF", "WEBP"])
def test_a_picture(tmp_path: Path, format_name: str) -> None:
    path = tmp_path / "net.pth"
    Image.new("RGB", (20, 20), "red").save(path, format_name)
    assert "this is a picture, not weights" in _error(path)
