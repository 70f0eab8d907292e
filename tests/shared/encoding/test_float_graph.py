"""A graph that quantize_dynamic wrote, in floating point again: what it computes, what is left of the pattern, and graphs of another form."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from slipway_shared.encoding.float_graph import OtherGraph, in_floats

Floats = NDArray[np.float32]
RNG = np.random.default_rng(11)
WIDE, NARROW = (RNG.standard_normal(shape).astype(np.float32) for shape in ((16, 64), (64, 8)))


def network() -> onnx.ModelProto:
    """Two products with a Gelu between; both outputs of the second are read, so that it is shared."""
    nodes = [
        helper.make_node("MatMul", ["x", "wide"], ["inner"], name="first"),
        helper.make_node("Gelu", ["inner"], ["bent"]),
        helper.make_node("MatMul", ["bent", "narrow"], ["outer"], name="second"),
        helper.make_node("Add", ["outer", "outer"], ["y"]),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", width]) for name, width in (("x", 16), ("y", 8))]
    held = [numpy_helper.from_array(array, name) for name, array in (("wide", WIDE), ("narrow", NARROW))]
    graph = helper.make_graph(nodes, "network", values[:1], values[1:], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


@pytest.fixture
def quantized(tmp_path: Path) -> onnx.ModelProto:
    plain, small = tmp_path / "plain.onnx", tmp_path / "small.onnx"
    model = network()
    onnx.helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})
    onnx.save(model, str(plain))
    quantize_dynamic(str(plain), str(small), per_channel=True, weight_type=QuantType.QInt8)
    return onnx.load(str(small))


def computed(model: onnx.ModelProto, x: Floats) -> Floats:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["y"], {"x": x})[0])


def kinds(model: onnx.ModelProto) -> set[str]:
    return {node.op_type for node in model.graph.node}


def test_the_products_are_those_of_the_rounded_weights(quantized: onnx.ModelProto) -> None:
    x = RNG.standard_normal((5, 16)).astype(np.float32)
    assert "MatMulInteger" in kinds(quantized)
    plain = in_floats(quantized)
    onnx.checker.check_model(plain)
    assert kinds(plain) == {"MatMul", "Gelu", "Add"}
    wanted, floats, integers = (computed(model, x) for model in (network(), plain, quantized))
    # Closer to the network than with rounded activations, and as far from it as rounding weights to 1/127 of their column's largest explains.
    assert np.abs(floats - wanted).mean() < np.abs(integers - wanted).mean()
    assert np.abs(floats - wanted).max() < 0.02 * np.abs(wanted).max()
    assert np.abs(floats - wanted).max() > 0
    assert "MatMulInteger" in kinds(quantized), "the given graph is not touched"


def test_a_graph_in_floats_stays_what_it_is() -> None:
    model = network()
    assert in_floats(model) == model


def test_products_of_another_form_are_refused(quantized: onnx.ModelProto) -> None:
    for kind in ("Cast", "DynamicQuantizeLinear"):
        other = onnx.ModelProto()
        other.CopyFrom(quantized)
        next(node for node in other.graph.node if node.op_type == kind).op_type = "Identity"
        with pytest.raises(OtherGraph, match="quantize_dynamic"):
            in_floats(other)
    product = next(node for node in quantized.graph.node if node.op_type == "MatMulInteger")
    product.input[1] = "x"
    with pytest.raises(OtherGraph, match="no constant"):
        in_floats(quantized)
