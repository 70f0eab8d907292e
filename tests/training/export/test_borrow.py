"""An int8 graph tuned from MiniLM goes into the repository without its word table and comes back as it was."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file
from slipway_shared.encoding import borrowed
from slipway_training.errors import ExportError
from slipway_training.export.borrow import PACKAGE, TENSOR, WEIGHTS, borrow

WORDS = ("water", "[PAD]", "the", "##s", "port")
SCALE = np.float32(0.00612)
ZERO = 83


def minilm(words: Sequence[str]) -> NDArray[np.float32]:
    folder = borrowed.package_folder(PACKAGE)
    ids: dict[str, int] = json.loads((folder / "model" / "tokenizer.json").read_text())["model"]["vocab"]
    return load_file(str(folder / WEIGHTS))[TENSOR][[ids[word] for word in words]]


def tuned(folder: Path, table: NDArray[np.float32], words: Sequence[str] = WORDS) -> Path:
    """A graph that looks words up in the quantized `table`, below models/tuned/int8."""
    folder.mkdir(parents=True)
    quantized = np.clip(np.rint(table / SCALE) + ZERO, 0, 255).astype(np.uint8)
    node = helper.make_node("Gather", ["words_quantized", "ids"], ["picked"])
    scaled = helper.make_node("DequantizeLinear", ["picked", "words_scale", "words_zero_point"], ["out"])
    constants = {"words_quantized": quantized, "words_scale": np.array(SCALE), "words_zero_point": np.array(ZERO, dtype=np.uint8)}
    graph = helper.make_graph(
        [node, scaled], "tuned",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", table.shape[1]])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )  # fmt: skip
    path = folder / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), str(path))
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {word: i for i, word in enumerate(words)}}}))
    return path


def test_a_tuned_table_comes_back_bit_by_bit(tmp_path: Path) -> None:
    table = minilm(WORDS)
    table[3] += np.random.default_rng(1).normal(0, 0.006, table.shape[1]).astype(np.float32)  # about one step of the last bit
    graph = tuned(tmp_path / "tuned" / "int8", table)
    before = graph.read_bytes()
    written = borrow(graph, tmp_path)
    assert written == tmp_path / "borrowed" / "tuned-int8.safetensors"
    assert written.stat().st_size < len(before)
    graph.unlink()
    assert borrowed.restore(written, tmp_path)
    assert graph.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "shift", "message"),
    [
        (WORDS, 0.2, "not one that was tuned from"),
        (("water", "[PAD]", "the", "##s", "nosuchword"), 0.0, "nosuchword"),
        (WORDS[:4], 0.0, "has 4 words, the graph 5"),
    ],
)
def test_what_is_not_minilm_s_is_refused(words: Sequence[str], shift: float, message: str, tmp_path: Path) -> None:
    graph = tuned(tmp_path / "tuned" / "int8", minilm(WORDS) + np.float32(shift), words)
    with pytest.raises(ExportError, match=message):
        borrow(graph, tmp_path)
    assert not (tmp_path / "borrowed").exists()


def test_a_graph_without_a_table_in_bytes_is_refused(tmp_path: Path) -> None:
    graph = tuned(tmp_path / "tuned" / "int8", minilm(WORDS))
    model = onnx.load(str(graph))
    del model.graph.initializer[:]
    onnx.save(model, str(graph))
    with pytest.raises(ExportError, match="holds no word table"):
        borrow(graph, tmp_path)
