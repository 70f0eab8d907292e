"""Sentence vectors by sentence-transformers itself (extra `torch`): for models that are no BERT, and to hold the ONNX graphs against the reference.

It knows the library's tokenizer and forward pass. It refuses to know batching policy; it is two to seven times slower than our int8 graph.
"""

import hashlib
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slipway_retriever.embed.embedder import Vectors
from slipway_retriever.embed.shape import ModelMissing


class TorchEmbedder:
    """A folder that SentenceTransformer loads, on the CPU, without asking any hub."""

    def __init__(self, folder: Path, query_prefix: str | None, threads: int) -> None:
        try:
            library: Any = importlib.import_module("sentence_transformers")
            self._torch: Any = importlib.import_module("torch")
        except ImportError as error:
            raise ModelMissing("backend sentence-transformers needs the extra: pip install 'slipway-retriever[torch]'") from error
        if not (folder / "config.json").is_file():
            raise ModelMissing(f"{folder} holds no config.json")
        if not list(folder.glob("*.safetensors")):
            raise ModelMissing(f"{folder} holds no safetensors weights; pickled ones are not loaded")
        self._torch.set_num_threads(threads)
        safe = {"use_safetensors": True}
        self._model: Any = library.SentenceTransformer(str(folder), device="cpu", local_files_only=True, model_kwargs=safe).eval()
        self.name = folder.name
        self.dimensions = int(self._model.get_embedding_dimension())
        self.query_prefix = self._model.prompts.get("query") or "" if query_prefix is None else query_prefix
        self.digest = f"{_digest(folder, self.query_prefix)}-st"

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids with the special tokens, cut to the model's longest input."""
        return self._model.tokenizer(list(texts), truncation=True, max_length=self._model.max_seq_length)["input_ids"]

    def embed(self, batch: Sequence[Sequence[int]]) -> Vectors:
        """One forward pass over the padded batch, through every module of the model; rows of length 1."""
        padded = self._model.tokenizer.pad({"input_ids": [list(ids) for ids in batch]}, return_tensors="pt")
        with self._torch.inference_mode():
            vectors = self._model.forward(dict(padded))["sentence_embedding"].float().numpy()
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _digest(folder: Path, query_prefix: str) -> str:
    total = hashlib.sha256(query_prefix.encode())
    for path in sorted([*folder.glob("*.safetensors"), *folder.glob("*.json"), *folder.glob("1_Pooling/*.json")]):
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()[:16]
