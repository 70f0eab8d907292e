"""A dynamically quantized ONNX graph with its products in floating point again: the same int8 weights, activations that are not rounded to eight bits.

It knows the pattern that onnxruntime's `quantize_dynamic` writes. It refuses to know files and engines.
An engine that computes in bf16 takes this graph; quantized weights of embeddings stay as they are (Gather, DequantizeLinear).
"""

from collections.abc import Iterable

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper


class OtherGraph(Exception):
    """A quantized product stands in another pattern than `quantize_dynamic` writes; the message names its node."""


def in_floats(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of `model` in which every `DynamicQuantizeLinear, MatMulInteger, Cast, Mul` is a MatMul; raises OtherGraph. A graph without them is only copied."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    parts = _Parts(graph)
    products = [node for node in graph.node if node.op_type == "MatMulInteger"]
    made: dict[str, onnx.NodeProto] = {}
    for node in products:
        replaced, weights = parts.product(node)
        made[replaced.output[0]] = replaced
        graph.initializer.append(weights)
    # The last node of each pattern makes place for the new one, so that the order stays topological; what nobody reads any more goes.
    nodes = [made.get(node.output[0], node) for node in graph.node]
    kept = _read(nodes, {value.name for value in graph.output})
    del graph.node[:]
    graph.node.extend(kept)
    used = {name for node in kept for name in node.input}
    held = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(held)
    return copy


class _Parts:
    """Who makes and who reads each value of a graph."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._tensors = {tensor.name: tensor for tensor in graph.initializer}
        self._makers = {output: node for node in graph.node for output in node.output}
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)

    def product(self, node: onnx.NodeProto) -> tuple[onnx.NodeProto, onnx.TensorProto]:
        """The MatMul that stands for `node`, under the name of what the pattern ends in, and its weights as float32 [inputs, outputs]."""
        source = self._makers.get(node.input[0])
        cast = self._only_reader(node, "Cast")
        scaled = self._only_reader(cast, "Mul")
        scales = self._makers.get(next(name for name in scaled.input if name != cast.output[0]))
        if source is None or source.op_type != "DynamicQuantizeLinear" or scales is None or scales.op_type != "Mul":
            raise OtherGraph(f"node {node.name or node.output[0]} is a quantized product of another form than quantize_dynamic writes")
        scale = next((name for name in scales.input if name != source.output[1]), "")
        weights = self._array(node, node.input[1])
        if len(node.input) > 3:
            weights = weights - self._array(node, node.input[3])
        name = f"{node.input[1]}_in_floats"
        tensor = numpy_helper.from_array(np.ascontiguousarray(weights * self._array(node, scale), dtype=np.float32), name)
        return helper.make_node("MatMul", [source.input[0], name], [scaled.output[0]], name=f"{node.name}_in_floats"), tensor

    def _array(self, node: onnx.NodeProto, name: str) -> NDArray[np.float32]:
        if name not in self._tensors:
            raise OtherGraph(f"node {node.name or node.output[0]} multiplies by {name!r}, which is no constant of the graph")
        return numpy_helper.to_array(self._tensors[name]).astype(np.float32)

    def _only_reader(self, node: onnx.NodeProto, kind: str) -> onnx.NodeProto:
        readers = self._readers.get(node.output[0], [])
        if len(readers) != 1 or readers[0].op_type != kind:
            raise OtherGraph(f"node {node.name or node.output[0]} is not followed by one {kind}, as quantize_dynamic writes it")
        return readers[0]


def _read(nodes: Iterable[onnx.NodeProto], wanted: set[str]) -> list[onnx.NodeProto]:
    """The nodes that the graph's outputs need, in their order."""
    kept: list[onnx.NodeProto] = []
    for node in reversed(list(nodes)):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(node.input)
    return kept[::-1]
