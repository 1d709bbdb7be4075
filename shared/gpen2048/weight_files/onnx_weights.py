"""The weights inside an ONNX file that was exported from this architecture.

An exporter renames parameters, folds constants into them and drops what it can, so names say nothing. What is left is
the flow of data, and GPEN's is a chain: every convolution follows the one before. So the layers are known by their
order, and whatever else belongs to a layer by how it is reached from it. A constant that belongs nowhere, or a layer
that misses one, is an error: nothing is guessed.
"""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import CheckpointError
from ..network import ACTIVATION_GAIN, LEAKY_SLOPE, MAPPING_LAYERS, MAPPING_LR, fir_kernel
from .onnx_graph import RESHAPING, Graph, Node

TOLERANCE = 1e-3  # of the FIR filter's taps and of gains
PAST_FILTERS = (*RESHAPING, "Conv", "Pad", "Slice")
Modulated = tuple[Node, tuple[Node, int], tuple[int, ...]]  # convolution, where its weights enter, their shape [OIkk]


def read_onnx(path: Path) -> dict[str, Tensor]:
    """The state dict, float32, in the layout of the released files.

    Raises CheckpointError when the package onnx is not installed, the file is damaged, or a constant cannot be mapped.
    """
    try:
        onnx: Any = importlib.import_module("onnx")
    except ImportError as error:
        # Not as a command: ComfyUI's registry takes one for code that installs something.
        needed = "wanted the package onnx to read it; install onnx with pip"
        raise CheckpointError(f"{path}: this is an ONNX file; {needed}") from error
    try:
        graph = Graph(onnx.load(str(path)))
        return _Mapping(graph).state_dict()
    except CheckpointError as error:
        raise CheckpointError(f"{path}: an ONNX file whose constants cannot be mapped ({error})") from error
    except Exception as error:  # whatever a damaged or unusual file leads to
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise CheckpointError(f"{path}: damaged, or no ONNX file of this architecture ({reason})") from error


class _Mapping:
    """Takes the graph's constants, layer by layer, into `state`."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.state: dict[str, Tensor] = {}

    def state_dict(self) -> dict[str, Tensor]:
        convolutions = self.graph.nodes_of("Conv", "ConvTranspose")
        filters = [node for node in convolutions if self._is_filter(node)]
        for node in filters:
            self.graph.use(node, 1)
        others = [node for node in convolutions if node not in filters]
        encoder = [node for node in others if self.graph.is_constant(node.inputs[1])]
        modulated = [(node, *self._modulation(node)) for node in others if node not in encoder]
        images = [found for found in modulated if found[2][0] == 3]
        styled = [found for found in modulated if found[2][0] != 3]
        _require(len(encoder), "encoder layers", len(images))
        _require(len(styled), "styled convolutions", 2 * len(images) - 1)
        self._check_activations()
        self._encoder(encoder)
        self._styled(styled)
        self._images(images)
        self._linear_layers()
        self._filters(len(images))
        self.graph.refuse_unused()
        return self.state

    def _is_filter(self, node: Node) -> bool:
        if not self.graph.is_constant(node.inputs[1]):
            return False
        weight = self.graph.constant(node.inputs[1])
        if weight.shape[1:] != (1, 4, 4):
            return False
        if not any(np.allclose(weight, fir_kernel(gain).numpy(), atol=TOLERANCE) for gain in (1, 4)):
            raise CheckpointError("a 4x4 filter is not the published [1, 3, 3, 1]")
        return True

    def _check_activations(self) -> None:
        for node in self.graph.nodes_of("LeakyRelu"):
            gains = [self._gain(user) for user in self.graph.users(node)]
            slope = node.attribute("alpha", 0.01)
            if abs(slope - LEAKY_SLOPE) > TOLERANCE or any(abs(gain - ACTIVATION_GAIN) > TOLERANCE for gain in gains):
                raise CheckpointError(f"a leaky ReLU has slope {slope:.3g} and gains {gains}; wanted 0.2 and 1.414")

    def _gain(self, node: Node) -> float:
        number = self.graph.constant_input(node)
        value = self.graph.constant(node.inputs[number]) if number is not None and node.kind == "Mul" else np.ones(1)
        return float(value.reshape(-1)[0]) if value.size == 1 else 0.0

    def _encoder(self, nodes: list[Node]) -> None:
        for number, node in enumerate(nodes):
            position = 0 if number == 0 else 1
            shape = self.graph.constant(node.inputs[1]).shape
            self._store(f"ecd{number}.0.{position}.weight", self.graph.use(node, 1), shape, _equalised(shape[1:]))
            self._store(f"ecd{number}.0.{position + 1}.bias", self._bias(node), shape[:1])

    def _bias(self, node: Node) -> str:
        """Of a layer: its own, or what is added to its result."""
        if node.kind != "Concat" and len(node.inputs) > 2 and node.inputs[2]:
            return self.graph.use(node, 2)
        for user in self.graph.users(node):
            number = self.graph.constant_input(user)
            if user.kind == "Add" and number is not None:
                return self.graph.use(user, number)
        raise CheckpointError(f"a {node.kind} has no bias")

    def _modulation(self, node: Node) -> tuple[tuple[Node, int], tuple[int, ...]]:
        """Where the weights of a modulated convolution enter, and their shape [OIkk]."""
        found = self.graph.constants_behind(node.inputs[1])
        _require(len(found), "constants in a modulated convolution", 1)
        shape = self.graph.constant(found[0][0].inputs[found[0][1]]).shape
        return found[0], tuple(shape[-4:])

    def _styled(self, found: list[Modulated]) -> None:
        names = ["conv1", *(f"convs.{number}" for number in range(len(found) - 1))]
        for name, (node, place, shape) in zip(names, found):
            self._modulated(f"generator.{name}.conv", node, place, shape)
            joining = next((user for user in self.graph.users(node, PAST_FILTERS) if user.kind == "Concat"), None)
            if joining is None:
                raise CheckpointError("no encoder feature is joined to a styled convolution")
            self._store(f"generator.{name}.noise.weight", self._injection(joining), (1,))
            self._store(f"generator.{name}.activate.bias", self._bias(joining), (2 * shape[0],))
        first, _, shape = found[0]
        self._store("generator.input.input", self._constant_input(first), (1, shape[1], 4, 4))

    def _images(self, found: list[Modulated]) -> None:
        names = ["to_rgb1", *(f"to_rgbs.{number}" for number in range(len(found) - 1))]
        for name, (node, place, shape) in zip(names, found):
            self._modulated(f"generator.{name}.conv", node, place, shape)
            self._store(f"generator.{name}.bias", self._bias(node), (1, 3, 1, 1))

    def _modulated(self, name: str, node: Node, place: tuple[Node, int], shape: tuple[int, ...]) -> None:
        self._store(f"{name}.weight", self.graph.use(*place), (1, *shape), _equalised(shape[1:]))
        self._linear(f"{name}.modulation", self.graph.linear_behind(node.inputs[1]), 1)

    def _injection(self, joining: Node) -> str:
        """The encoder feature's weight, the one number by which the second half is multiplied."""
        scaling = self.graph.maker(joining.inputs[1])
        number = self.graph.constant_input(scaling) if scaling is not None and scaling.kind == "Mul" else None
        if scaling is None or number is None:
            raise CheckpointError("an encoder feature is joined without its weight")
        return self.graph.use(scaling, number)

    def _constant_input(self, first: Node) -> str:
        if self.graph.is_constant(first.inputs[0]):
            return self.graph.use(first, 0)
        found = self.graph.constants_behind(first.inputs[0])
        _require(len(found), "constants that the decoder starts from", 1)
        return self.graph.use(*found[0])

    def _linear_layers(self) -> None:
        """What the modulations left: the code, then the mapping network."""
        left = [node for node in self.graph.nodes_of("Gemm", "MatMul") if not self.graph.is_used(node)]
        _require(len(left), "linear layers beside the modulations", 1 + MAPPING_LAYERS)
        self._linear("final_linear.0", left[0], 1)
        for number, node in enumerate(left[1:], 1):
            self._linear(f"generator.style.{number}", node, MAPPING_LR)

    def _linear(self, name: str, node: Node, rate: float) -> None:
        """Gemm, with its weights as stored or transposed; or MatMul, transposed, and an Add."""
        if node.attribute("alpha", 1) != 1 or node.attribute("beta", 1) != 1 or node.attribute("transA", 0):
            raise CheckpointError("a linear layer is scaled")
        transposed = node.kind == "MatMul" or not node.attribute("transB", 0)
        outputs, inputs = self.graph.constant(node.inputs[1]).shape[:: -1 if transposed else 1]
        weight, gain = self.graph.use(node, 1), rate * _equalised((inputs,))
        if transposed:
            value = self.graph.constant(weight).T.astype(np.float32) / np.float64(gain)
            self.state[f"{name}.weight"] = torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32))
        else:
            self._store(f"{name}.weight", weight, (outputs, inputs), gain)
        self._store(f"{name}.bias", self._bias(node), (outputs,), rate)

    def _filters(self, levels: int) -> None:
        """All were seen to be as published."""
        for number in range(1, levels):
            self.state[f"ecd{number}.0.0.kernel"] = fir_kernel()
            self.state[f"generator.convs.{2 * number - 2}.conv.blur.kernel"] = fir_kernel(4)
            self.state[f"generator.to_rgbs.{number - 1}.upsample.kernel"] = fir_kernel(4)

    def _store(self, key: str, name: str, shape: tuple[int, ...], gain: float = 1.0) -> None:
        """Constant `name` is the parameter times `gain`."""
        self.state[key] = torch.from_numpy(np.array(self.graph.parameter(name, gain, shape), np.float32))


def _equalised(fan_in: tuple[int, ...]) -> float:
    return 1 / math.sqrt(math.prod(fan_in))


def _require(seen: int, what: str, wanted: int) -> None:
    if seen != wanted:
        raise CheckpointError(f"it has {seen} {what}; wanted {wanted}")
