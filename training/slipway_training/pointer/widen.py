"""An int8 pointer flavor widened to a float network again, so that a run can start from the weights that are served when its checkpoints are gone.

It knows how `export` names and quantizes what is in the graph. It refuses to know training.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from slipway_shared.manifest import load_verified
from tokenizers import Tokenizer
from transformers import BertConfig

from slipway_training.errors import CheckpointError, StackMissing
from slipway_training.pointer.model import Pointer, empty

try:
    import onnx
    from onnx import numpy_helper
except ImportError as error:  # pragma: no cover - depends on the installation
    raise StackMissing("onnx") from error

ROOT = "pointer."


def widened(folder: Path, shape: BertConfig) -> tuple[Pointer, list[str]]:
    """The network of the int8 flavor in `folder` (verified first) and its word pieces; `shape` is the base's configuration, its vocabulary is set to the flavor's.

    Each weight is (integer - zero point) * scale, so it differs from what was trained by half a step of its channel at most.
    Raises ManifestError, and CheckpointError for a graph that holds another network.
    """
    load_verified(folder)
    pieces = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
    shape.vocab_size = len(pieces)
    model = empty(shape)
    found = _weights(onnx.load(str(folder / "model.onnx")))
    wanted = dict(model.named_parameters())
    if missing := wanted.keys() - found.keys():
        raise CheckpointError(
            f"{folder} does not hold {len(missing)} of the network's weights, such as {sorted(missing)[0]}; only int8 flavors are widened"
        )
    with torch.no_grad():
        for name, parameter in wanted.items():
            if tuple(found[name].shape) != tuple(parameter.shape):
                raise CheckpointError(f"{folder}: {name} is {found[name].shape}, the base's shape wants {tuple(parameter.shape)}")
            parameter.copy_(torch.from_numpy(found[name]))
    return model, sorted(pieces, key=lambda piece: pieces[piece])


def _weights(graph: "onnx.ModelProto") -> dict[str, NDArray[np.float32]]:
    """By parameter name: floats as they are, embeddings and matrices widened; a matrix stands transposed in the graph and is named by its product's node."""
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    out = {
        name.removeprefix(ROOT): array.astype(np.float32)
        for name, array in held.items()
        if name.startswith(ROOT) and array.dtype == np.float32
    }
    for name in held:
        if name.startswith(ROOT) and name.endswith("_quantized"):
            out[name.removeprefix(ROOT).removesuffix("_quantized")] = _wide(held, name.removesuffix("_quantized"))
    for node in graph.graph.node:
        if node.op_type == "MatMulInteger":
            module = node.name.removeprefix("/").rpartition("/")[0].replace("/", ".").removeprefix(ROOT)
            out[f"{module}.weight"] = np.ascontiguousarray(_wide(held, node.input[1].removesuffix("_quantized")).T)
    return out


def _wide(held: "dict[str, NDArray[np.generic]]", name: str) -> NDArray[np.float32]:
    integers, scale, zero = (held[f"{name}_{part}"].astype(np.float32) for part in ("quantized", "scale", "zero_point"))
    return (integers - zero) * scale
