"""A BERT encoder as an ONNX graph, built from its safetensors weights alone: no torch, no exporter.

It knows the BERT architecture (Devlin et al. 2018, post-layer-norm, learned positions) and sentence pooling. It refuses to know tokenizers and files.
Inputs `input_ids`, `attention_mask`: int64 [batch, sequence]. Output `embedding`: float32 [batch, hidden], rows of length 1.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from slipway_retriever.embed.shape import BertShape, Pooling, Weights

OPSET = 20  # the first with Gelu


def build(shape: BertShape, weights: Weights, pooling: Pooling) -> onnx.ModelProto:
    """The checked model. Weights are stored as float32; quantization is a later step."""
    graph = _Graph()
    hidden = _encoder(graph, shape, weights)
    out = _normalised(graph, _mean(graph, hidden) if pooling == "mean" else graph.op("Gather", hidden, graph.ints("first", 0), axis=1))
    graph.nodes.append(helper.make_node("Identity", [out], ["embedding"]))
    tokens = ["batch", "sequence"]
    proto = helper.make_graph(
        graph.nodes,
        "bert",
        [helper.make_tensor_value_info(name, TensorProto.INT64, tokens) for name in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", shape.hidden])],
        graph.initializers,
    )
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9, producer_name="slipway")
    onnx.checker.check_model(model)
    return model


class _Graph:
    """Nodes and initializers in the making; every operator call names its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        output = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=f"node_{output}", **attributes))
        return output

    def constant(self, name: str, value: NDArray[np.float32] | NDArray[np.int64]) -> str:
        if all(known.name != name for known in self.initializers):
            self.initializers.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def ints(self, name: str, value: int | Sequence[int]) -> str:
        return self.constant(name, np.asarray(value, dtype=np.int64))

    def floats(self, name: str, value: float) -> str:
        return self.constant(name, np.asarray(value, dtype=np.float32))


def _encoder(graph: _Graph, shape: BertShape, weights: Weights) -> str:
    hidden = _embeddings(graph, shape, weights)
    # 0 where a token stands, the lowest useful number where padding does: [batch, 1, 1, sequence].
    mask = graph.op("Cast", graph.op("Unsqueeze", "attention_mask", graph.ints("axes_1_2", (1, 2))), to=TensorProto.FLOAT)
    bias = graph.op("Mul", graph.op("Sub", graph.floats("one", 1.0), mask), graph.floats("lowest", -10000.0))
    for layer in range(shape.layers):
        name = f"encoder.layer.{layer}"
        hidden = _attention(graph, shape, weights, f"{name}.attention", hidden, bias)
        inner = graph.op("Gelu", _dense(graph, weights, f"{name}.intermediate.dense", hidden))
        outer = _dense(graph, weights, f"{name}.output.dense", inner)
        hidden = _layer_norm(graph, shape, weights, f"{name}.output.LayerNorm", graph.op("Add", outer, hidden))
    return hidden


def _embeddings(graph: _Graph, shape: BertShape, weights: Weights) -> str:
    table = graph.constant("word_embeddings", weights("embeddings.word_embeddings.weight"))
    # One segment only: its row is added to every position once, here instead of at run time.
    positions = weights("embeddings.position_embeddings.weight") + weights("embeddings.token_type_embeddings.weight")[0]
    length = graph.op("Gather", graph.op("Shape", "input_ids"), graph.ints("one_int", (1,)), axis=0)
    rows = graph.op("Slice", graph.constant("positions", positions), graph.ints("zero_int", (0,)), length, graph.ints("axis_0", (0,)))
    summed = graph.op("Add", graph.op("Gather", table, "input_ids", axis=0), rows)
    return _layer_norm(graph, shape, weights, "embeddings.LayerNorm", summed)


def _attention(graph: _Graph, shape: BertShape, weights: Weights, name: str, hidden: str, bias: str) -> str:
    size = shape.hidden // shape.heads
    split = graph.ints("split_heads", (0, 0, shape.heads, size))
    # One multiplication for query, key and value; 1/sqrt(size) is folded into the query's weights.
    scale = np.float32(size**-0.5)
    parts = [(f"{name}.self.{part}", scale if part == "query" else np.float32(1)) for part in ("query", "key", "value")]
    matrix = np.concatenate([weights(f"{part}.weight").T * factor for part, factor in parts], axis=1)
    offset = np.concatenate([weights(f"{part}.bias") * factor for part, factor in parts])
    joined = graph.op("MatMul", hidden, graph.constant(f"{name}.qkv.weight", matrix))
    joined = graph.op("Add", joined, graph.constant(f"{name}.qkv.bias", offset))
    query, key, value = (
        graph.op("Reshape", _columns(graph, joined, i * shape.hidden, (i + 1) * shape.hidden), split, allowzero=0) for i in range(3)
    )
    query = graph.op("Transpose", query, perm=(0, 2, 1, 3))
    key = graph.op("Transpose", key, perm=(0, 2, 3, 1))
    value = graph.op("Transpose", value, perm=(0, 2, 1, 3))
    scores = graph.op("Softmax", graph.op("Add", graph.op("MatMul", query, key), bias), axis=-1)
    context = graph.op("Transpose", graph.op("MatMul", scores, value), perm=(0, 2, 1, 3))
    context = graph.op("Reshape", context, graph.ints("join_heads", (0, 0, shape.hidden)), allowzero=0)
    out = graph.op("Add", _dense(graph, weights, f"{name}.output.dense", context), hidden)
    return _layer_norm(graph, shape, weights, f"{name}.output.LayerNorm", out)


def _columns(graph: _Graph, value: str, start: int, end: int) -> str:
    return graph.op("Slice", value, graph.ints(f"at_{start}", (start,)), graph.ints(f"at_{end}", (end,)), graph.ints("axis_2", (2,)))


def _dense(graph: _Graph, weights: Weights, name: str, hidden: str) -> str:
    product = graph.op("MatMul", hidden, graph.constant(f"{name}.weight", weights(f"{name}.weight").T))
    return graph.op("Add", product, graph.constant(f"{name}.bias", weights(f"{name}.bias")))


def _layer_norm(graph: _Graph, shape: BertShape, weights: Weights, name: str, hidden: str) -> str:
    scale, bias = (graph.constant(f"{name}.{part}", weights(f"{name}.{part}")) for part in ("weight", "bias"))
    return graph.op("LayerNormalization", hidden, scale, bias, axis=-1, epsilon=shape.epsilon)


def _mean(graph: _Graph, hidden: str) -> str:
    """Mean over the tokens that are no padding."""
    mask = graph.op("Cast", graph.op("Unsqueeze", "attention_mask", graph.ints("axis_last", (2,))), to=TensorProto.FLOAT)
    axis = graph.ints("axis_1", (1,))
    total = graph.op("ReduceSum", graph.op("Mul", hidden, mask), axis, keepdims=0)
    return graph.op("Div", total, graph.op("ReduceSum", mask, axis, keepdims=0))


def _normalised(graph: _Graph, pooled: str) -> str:
    length = graph.op("ReduceL2", pooled, graph.ints("axis_1", (1,)), keepdims=1)
    return graph.op("Div", pooled, graph.op("Max", length, graph.floats("tiny", 1e-12)))
