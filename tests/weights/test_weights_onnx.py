"""Weights read back from ONNX files that both of torch's exporters wrote from the readable network."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from gpen2048 import network as published
from gpen2048.checkpoint import load_network
from gpen2048.errors import CheckpointError
from gpen2048.network import FullGenerator, NetworkConfig, fir_kernel
from gpen2048.weight_files.onnx_graph import Graph, Node
from gpen2048.weight_files.state_dicts import read_state_dict
from torch import Tensor

onnx = pytest.importorskip("onnx", reason="reading ONNX needs the extra gpen2048[onnx]")
CONFIG = NetworkConfig(16, 2, 0.125)
SIZE = CONFIG.size
pytestmark = pytest.mark.filterwarnings("ignore")  # of the exporters


@pytest.fixture(scope="module")
def network() -> FullGenerator:
    """Random numbers in every parameter, so that no two can be mistaken for each other."""
    made = FullGenerator(CONFIG)
    generator = torch.Generator().manual_seed(6)
    state = {key: torch.randn(value.shape, generator=generator) for key, value in made.state_dict().items()}
    for key in state:
        if key.endswith(".kernel"):
            state[key] = fir_kernel(4 if key.startswith("generator.") else 1)
    made.load_state_dict(state)
    return made.eval()


@pytest.fixture(scope="module")
def by_tracing(network: FullGenerator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the older exporter, which must know every shape beforehand and folds constants."""
    path = tmp_path_factory.mktemp("onnx") / "traced.onnx"
    with pytest.MonkeyPatch.context() as patch:
        _with_known_shapes(patch)
        options: dict[str, Any] = {"dynamo": False} if "dynamo" in _export_options() else {}
        torch.onnx.export(network, (torch.zeros(1, 3, SIZE, SIZE),), str(path), opset_version=17, **options)
    return path


@pytest.fixture(scope="module")
def by_export(network: FullGenerator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the newer exporter."""
    pytest.importorskip("onnxscript", reason="torch's newer exporter needs onnxscript")
    if "external_data" not in _export_options():
        pytest.skip("this torch has no newer exporter")
    path = tmp_path_factory.mktemp("onnx") / "exported.onnx"
    image = torch.zeros(1, 3, SIZE, SIZE)
    torch.onnx.export(network, (image,), str(path), dynamo=True, external_data=False, verbose=False)
    return path


def _export_options() -> tuple[str, ...]:
    return torch.onnx.export.__code__.co_varnames


def _with_known_shapes(patch: pytest.MonkeyPatch) -> None:
    """The readable network's layers with their shapes as plain numbers, as the authors' code has them."""

    def blur(self: Any, x: Tensor) -> Tensor:
        channels = int(x.shape[1])
        return F.conv2d(F.pad(x, (*self.pad, *self.pad)), self.kernel.expand(channels, 1, 4, 4), groups=channels)

    def upsample(self: Any, x: Tensor) -> Tensor:
        channels = int(x.shape[1])
        kernel = self.kernel.expand(channels, 1, 4, 4)
        return F.conv_transpose2d(x, kernel, stride=2, padding=1, groups=channels)

    def grouped(convolution: Any, x: Tensor, weight: Tensor, **options: int) -> Tensor:
        n, _, h, w = (int(length) for length in x.shape)
        y = convolution(x.reshape(1, -1, h, w), weight.flatten(0, 1), groups=n, **options)
        return y.view(n, -1, int(y.shape[2]), int(y.shape[3]))

    def modulated(self: Any, x: Tensor, style: Tensor) -> Tensor:
        n, i = int(x.shape[0]), int(x.shape[1])
        weight = self.weight / math.sqrt(i * int(self.weight.shape[-1]) ** 2)
        weight = weight * self.modulation(style).view(n, 1, i, 1, 1)
        if self.demodulate:
            weight = weight * torch.rsqrt(weight.square().sum(dim=(2, 3, 4), keepdim=True) + published.EPSILON)
        if self.up:
            return self.blur(grouped(F.conv_transpose2d, x, weight.transpose(1, 2), stride=2))
        return grouped(F.conv2d, x, weight, padding=int(weight.shape[-1]) // 2)

    patch.setattr(published.Blur, "forward", blur)
    patch.setattr(published.Upsample, "forward", upsample)
    patch.setattr(published.ModulatedConv2d, "forward", modulated)


@pytest.mark.parametrize("style", ["by_tracing", "by_export"])
def test_every_number_comes_back(style: str, network: FullGenerator, request: pytest.FixtureRequest) -> None:
    read = read_state_dict(request.getfixturevalue(style))
    wanted = network.state_dict()
    assert read.keys() == wanted.keys()
    for key, value in wanted.items():
        difference = (read[key] - value).abs() / value.abs().clamp_min(1e-3)
        assert read[key].shape == value.shape and difference.max() <= 1e-6, key
    if style == "by_export":  # which leaves large parameters as they are
        large = [key for key, value in wanted.items() if value.ndim > 1]
        assert sum(torch.equal(read[key], wanted[key]) for key in large) > 0.8 * len(large)


def test_the_network_computes_the_same(by_tracing: Path, network: FullGenerator) -> None:
    image = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        wanted = network(image)
    difference = load_network(by_tracing)(image) - wanted
    assert difference.abs().max() <= 1e-4 * wanted.abs().max()


def _changed(path: Path, target: Path, change: Any) -> Path:
    model = onnx.load(str(path))
    change(model.graph)
    onnx.save(model, str(target))
    return target


def _slope(graph: Any) -> None:
    node = next(node for node in graph.node if node.op_type == "LeakyRelu")
    node.attribute[0].f = 0.1


def _filter(graph: Any) -> None:
    for tensor in graph.initializer:
        value = onnx.numpy_helper.to_array(tensor)
        if value.shape[-2:] == (4, 4) and abs(value.reshape(-1, 16)[0].sum() - 1) < 1e-3:
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.full_like(value, 1 / 16), tensor.name))
            return


def _another_constant(graph: Any) -> None:
    node = next(node for node in graph.node if node.op_type == "LeakyRelu")
    graph.initializer.append(onnx.numpy_helper.from_array(np.ones((1, 2, 1, 1), np.float32), "odd"))
    node.input[0], name = "added", node.input[0]
    graph.node.insert(0, onnx.helper.make_node("Mul", [name, "odd"], ["added"]))


def _shorter(graph: Any) -> None:
    del graph.node[len(graph.node) // 2 :]


CHANGES = {
    "slope": (_slope, "a leaky ReLU has slope 0.1"),
    "filter": (_filter, "4x4"),
    "a constant more": (_another_constant, "is of no layer"),
    "half a graph": (_shorter, "wanted"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_cannot_be_mapped_is_said(change: str, by_tracing: Path, tmp_path: Path) -> None:
    alter, reason = CHANGES[change]
    with pytest.raises(CheckpointError, match=reason):
        read_state_dict(_changed(by_tracing, tmp_path / "changed.onnx", alter))


def test_another_network_and_a_truncated_file(by_tracing: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.onnx"
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    values = [onnx.helper.make_tensor_value_info(name, 1, [1]) for name in ("x", "y")]
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([node], "g", values[:1], values[1:])), str(path))
    with pytest.raises(CheckpointError, match="cannot be mapped"):
        read_state_dict(path)
    path.write_bytes(by_tracing.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="ONNX"):
        read_state_dict(path)


def test_without_the_package_it_is_told_how_to_get_it(by_tracing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(CheckpointError, match="install onnx with pip"):
        read_state_dict(by_tracing)


def _computed(nodes: list[Any], name: str) -> Any:
    """Constant `name` of a graph of `nodes` on a stored one called a."""
    stored = onnx.numpy_helper.from_array(np.arange(1, 7, dtype=np.float32).reshape(2, 3), "a")
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [], [], [stored]))
    return Graph(model).constant(name)


def test_constants_that_share_inputs_are_computed() -> None:
    make = onnx.helper.make_node
    nodes = [make("Mul", ["a", "a"], ["squares"]), make("Sqrt", ["squares"], ["roots"])]
    nodes += [make("Add", ["a", "roots"], ["sum"]), make("Div", ["sum", "a"], ["twos"])]
    nodes.append(make("Add", ["twos", "sum"], ["b"]))
    assert np.allclose(_computed(nodes, "b"), 2 + 2 * np.arange(1, 7).reshape(2, 3))
    chain = [make("Identity", ["a" if n == 0 else f"c{n - 1}"], [f"c{n}"]) for n in range(300)]
    assert _computed(chain, "c299").shape == (2, 3)


def test_constants_in_a_circle_are_refused() -> None:
    graph = Graph(onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [])))
    graph._makers = {
        "x": Node("Add", ("y", "a"), ("x",), None),
        "y": Node("Neg", ("x",), ("y",), None),
        "a": Node("Neg", ("x",), ("a",), None),
    }
    with pytest.raises(CheckpointError, match="depends on itself"):
        graph.constant("x")
