"""The network before the first step: from a BERT folder, from a run of this recipe, or from the int8 graph that a reranker serves.

It knows the three layouts and how layers are left out. It refuses to know data and loss.
"""

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from torch import nn

from slipway_training.errors import DataMissing
from slipway_training.pointer.train import base_folder
from slipway_training.reranker.model import Reranker

Arrays = dict[str, NDArray[Any]]
MATRICES = ("attention.qkv", "attention.out", "inner", "outer")


def load(named: str, keep: tuple[int, ...] = ()) -> Reranker:
    """The network of `named` (see ModelConfig.base) with only the layers `keep`; raises DataMissing."""
    folder = base_folder(named)
    if (folder / "model.onnx").is_file():
        made = from_graph(folder / "model.onnx")
    elif (folder / "config.json").is_file() and (folder / "model.safetensors").is_file():
        own = "across" in (folder / "config.json").read_text(encoding="utf-8")
        made = Reranker.read(folder) if own else Reranker.start(folder)
    else:
        raise DataMissing(
            f"{folder} holds neither model.onnx nor config.json with model.safetensors; model.base names a BERT folder or a reranker"
        )
    return without(made, keep) if keep else made


def without(model: Reranker, keep: tuple[int, ...]) -> Reranker:
    """`model` with the layers `keep` alone, in that order; raises DataMissing for one that it does not have."""
    held = list(model.layers)
    if max(keep) >= len(held):
        raise DataMissing(f"model.keep names layer {max(keep)}; the base has {len(held)} layers, counted from 0")
    model.layers = nn.ModuleList(held[number] for number in keep)
    model.shape["num_hidden_layers"] = len(keep)
    return model


def tokenizer(named: str, longest: int) -> Tokenizer:
    """The base's tokenizer, whose pairs are two sentences as the base knows them; the longer part loses what is too long."""
    made = Tokenizer.from_file(str(base_folder(named) / "tokenizer.json"))
    made.no_padding()
    special = [(name, cast(int, made.token_to_id(name))) for name in ("[CLS]", "[SEP]")]
    made.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] [CLS]:1 $B:1 [SEP]:1", special_tokens=special)
    made.enable_truncation(longest)
    return made


def from_graph(path: Path) -> Reranker:
    """A graph that export.py wrote, as a network: its int8 matrices times their scales. The order of the matrices in the graph is the order of the layers."""
    import onnx

    held: Arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(str(path)).graph.initializer}
    across = _numbered(held, "onnx::Mul_", "")
    matrices = [_dequantized(held, name) for name in _numbered(held, "onnx::MatMul_", "_quantized")]
    state: Arrays = {
        name: array
        for name, array in held.items()
        if name.startswith("layers.") or name in ("dimensions", "tokens", "norm.weight", "norm.bias")
    }
    state |= {f"{name}.weight": _dequantized(held, f"{name}.weight") for name in ("words", "places", "parts")}
    for number, name in enumerate(across):
        state[f"layers.{number}.attention.across"] = held[name].reshape(-1)
        for part, matrix in zip(MATRICES, matrices[4 * number : 4 * number + 4], strict=True):
            state[f"layers.{number}.{part}.weight"] = matrix.T
    made = Reranker(_shape(state, len(across)))
    made.load_state_dict({name: torch.tensor(np.asarray(array, dtype=np.float32)) for name, array in state.items()})
    return made


def _shape(state: Arrays, layers: int) -> dict[str, Any]:
    vocabulary, hidden = state["words.weight"].shape
    return {
        "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": len(state["layers.0.attention.across"]),
        "intermediate_size": len(state["layers.0.inner.bias"]), "vocab_size": vocabulary, "max_position_embeddings": len(state["places.weight"]),
        "layer_norm_eps": 1e-12, "across": True,
    }  # fmt: skip


def _numbered(held: Arrays, start: str, end: str) -> list[str]:
    """The names between `start` and `end`, by the number between them, which grows along the graph."""
    found = [
        name.removesuffix(end)
        for name in held
        if name.startswith(start) and name.endswith(end) and name.removeprefix(start).removesuffix(end).isdigit()
    ]
    return sorted(found, key=lambda name: int(name.rsplit("_", 1)[1]))


def _dequantized(held: Arrays, name: str) -> NDArray[np.float32]:
    offset = held[f"{name}_zero_point"].astype(np.float32)
    return np.asarray((held[f"{name}_quantized"].astype(np.float32) - offset) * held[f"{name}_scale"], dtype=np.float32)
