"""An ONNX graph as a flow of data: which values are constant, what they are, and how nodes hang together.

A value is constant when it depends on stored numbers alone; it is computed when asked for and not kept. None may be
larger than a network needs: a few nodes could ask for any amount of memory.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import CheckpointError

Array = np.ndarray[Any, Any]
RESHAPING = ("Reshape", "Squeeze", "Unsqueeze", "Identity", "Cast", "Flatten")
LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul", "Shape")  # where the way back from a value ends
MOST_NUMBERS = 2**25  # of a constant; the largest of the 2048 network has 2.4 million
SHAPE_LENGTH = 16  # numbers, at most, of what may be a shape, an axis or a bound
SAME = 1e-5  # relative; float32 rounds a folded factor to 6e-8


@dataclass(frozen=True, eq=False)
class Node:
    """One operation."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    proto: Any = field(repr=False)

    def attribute(self, name: str, default: float) -> float:
        helper = importlib.import_module("onnx.helper")
        for attribute in self.proto.attribute:
            if attribute.name == name:
                return float(helper.get_attribute_value(attribute))
        return default


class Graph:
    """`model` is an onnx.ModelProto."""

    def __init__(self, model: Any):
        self._onnx: Any = importlib.import_module("onnx")
        self._opsets = model.opset_import
        self._stored = {tensor.name: tensor for tensor in model.graph.initializer}
        self.nodes = [Node(n.op_type, tuple(n.input), tuple(n.output), n) for n in model.graph.node]
        self._makers = {output: node for node in self.nodes for output in node.outputs}
        self._users: dict[str, list[Node]] = {}
        self._constant = set(self._stored)
        for node in self.nodes:
            for name in set(node.inputs):
                self._users.setdefault(name, []).append(node)
            if node.kind not in ("Shape", "RandomNormal") and all(self.is_constant(name) for name in node.inputs):
                self._constant.update(node.outputs)
        self._used: set[tuple[int, int]] = set()

    def is_constant(self, name: str) -> bool:
        return not name or name in self._constant

    def is_dynamic(self, node: Node) -> bool:
        return not self.is_constant(node.outputs[0])

    def nodes_of(self, *kinds: str) -> list[Node]:
        """In the file's order, which follows the flow of data."""
        return [node for node in self.nodes if node.kind in kinds and self.is_dynamic(node)]

    def constant(self, name: str) -> Array:
        """The value of a constant; CheckpointError where it has no size that can be told, or one beyond all use."""
        known: dict[str, Array] = {}
        left, begun = [name], set[str]()
        while left:
            top = left[-1]
            if top in known:
                left.pop()
            elif top in self._stored:
                known[top] = self._onnx.numpy_helper.to_array(self._stored[top])
            elif missing := [part for part in self._makers[top].inputs if part and part not in known]:
                begun.add(top)
                if not begun.isdisjoint(missing):
                    raise CheckpointError(f"constant {top[:60]} depends on itself")
                left += missing
            else:
                node = self._makers[top]
                known[top] = self._computed(node, top, {part: known[part] for part in node.inputs if part})
                begun.discard(top)
        return known[name]

    def _computed(self, node: Node, name: str, feeds: dict[str, Array]) -> Array:
        model = self._single(node, feeds)
        inferred = self._onnx.shape_inference.infer_shapes(model, data_prop=True).graph.output
        shape = next(value.type.tensor_type.shape for value in inferred if value.name == name)
        lengths = [length.dim_value if length.HasField("dim_value") else -1 for length in shape.dim]
        if any(length < 0 for length in lengths) or math.prod(lengths) > MOST_NUMBERS:
            size = "an unknown size" if -1 in lengths else f"{' x '.join(map(str, lengths))} numbers"
            raise CheckpointError(f"constant {name[:60]} has {size}; wanted at most {MOST_NUMBERS}")
        reference: Any = importlib.import_module("onnx.reference")
        return np.asarray(reference.ReferenceEvaluator(model).run([name], feeds)[0])

    def _single(self, node: Node, feeds: dict[str, Array]) -> Any:
        """A model of one `node`, in which what may be a shape is stored and can be inferred from."""
        make, arrays = self._onnx.helper, self._onnx.numpy_helper
        inputs = [
            make.make_tensor_value_info(part, make.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for part, value in feeds.items()
        ]
        shapes = [
            arrays.from_array(value, part)
            for part, value in feeds.items()
            if value.dtype.kind in "iu" and value.ndim < 2 and value.size <= SHAPE_LENGTH
        ]
        outputs = [make.make_empty_tensor_value_info(part) for part in node.outputs]
        graph = make.make_graph([node.proto], "constant", inputs, outputs, initializer=shapes)
        return make.make_model(graph, opset_imports=self._opsets)

    def parameter(self, name: str, gain: float, shape: tuple[int, ...]) -> Array:
        """The parameter that constant `name` is `gain` times, in `shape`: as stored where the file still has it so."""
        value = self.constant(name).astype(np.float32).reshape(shape)
        for stored in self._stored_behind(name):
            raw = self.constant(stored)
            if raw.size == value.size and raw.size > 1 and raw.dtype == np.float32:
                raw = raw.reshape(value.shape)
                if np.allclose(raw * np.float32(gain), value, rtol=SAME, atol=0):
                    return raw
        return (value / np.float64(gain)).astype(np.float32)

    def _stored_behind(self, name: str) -> Iterator[str]:
        left, seen = [name], set[str]()
        while left:
            top = left.pop()
            if top in seen:
                continue
            seen.add(top)
            if top in self._stored:
                yield top
            elif top in self._makers:
                left += reversed(self._makers[top].inputs)

    def maker(self, name: str) -> Node | None:
        """The node that a value comes from, past changes of shape."""
        node = self._makers.get(name)
        while node is not None and node.kind in RESHAPING:
            node = self._makers.get(node.inputs[0])
        return node

    def users(self, node: Node, past: tuple[str, ...] = RESHAPING) -> Iterator[Node]:
        """Nodes that use the result of `node`, directly or past those of the kinds `past`."""
        for user in self._users.get(node.outputs[0], []):
            if user.kind in past and user.inputs[0] == node.outputs[0]:
                yield from self.users(user, past)
            else:
                yield user

    def constant_input(self, node: Node) -> int | None:
        """Which input of a node with two is a constant; None if none is."""
        found = [number for number, name in enumerate(node.inputs) if self.is_constant(name)]
        return found[0] if len(found) == 1 and len(node.inputs) == 2 else None

    def constants_behind(self, name: str) -> list[tuple[Node, int]]:
        """Numbers, not shapes, that enter on the way back from `name` to the layers before: node and input."""
        found: dict[tuple[Node, int], None] = {}
        left, seen = [name], set[str]()
        while left:
            node = self._makers.get(left.pop())
            if node is None or node.kind in LAYERS or node.outputs[0] in seen:
                continue
            seen.add(node.outputs[0])
            for number, part in enumerate(node.inputs):
                if not self.is_constant(part):
                    left.append(part)
                elif self._is_parameter(part):
                    found[node, number] = None
        return list(found)

    def linear_behind(self, name: str) -> Node:
        """The one linear layer that a value depends on."""
        found: set[Node] = set()
        left, seen = [name], set[str]()
        while left:
            node = self._makers.get(left.pop())
            if node is None or node.outputs[0] in seen:
                continue
            seen.add(node.outputs[0])
            if node.kind in ("Gemm", "MatMul"):
                found.add(node)
            elif node.kind not in LAYERS:
                left += node.inputs
        if len(found) != 1:
            raise CheckpointError(f"a convolution's weights depend on {len(found)} linear layers; wanted 1")
        return found.pop()

    def _is_parameter(self, name: str) -> bool:
        if not name:
            return False
        value = self.constant(name)
        return value.size > 1 and value.dtype.kind == "f"

    def use(self, node: Node, number: int) -> str:
        """The name of an input, which is accounted for from now on."""
        self._used.add((id(node), number))
        return node.inputs[number]

    def is_used(self, node: Node) -> bool:
        return any((id(node), number) in self._used for number in range(len(node.inputs)))

    def refuse_unused(self) -> None:
        """Raises CheckpointError when numbers enter the flow that belong to no layer."""
        for node in self.nodes:
            for number, name in enumerate(node.inputs) if self.is_dynamic(node) else ():
                if self.is_constant(name) and (id(node), number) not in self._used and self._is_parameter(name):
                    shape = self.constant(name).shape
                    raise CheckpointError(f"constant {name[:60]} of shape {shape} at a {node.kind} is of no layer")
