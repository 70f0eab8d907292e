"""Sentence vectors from an ONNX graph: converted once, cached on disk, computed by the engine that is fastest here.

It knows conversion and the cache. It refuses to know batching policy, engines and what the vectors are for.
"""

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from slipway_shared.encoding.choice import Choice, EngineMissing, EngineName
from slipway_shared.encoding.session import open_session, warm

from slipway_retriever.embed.embedder import Vectors
from slipway_retriever.embed.model_folder import ModelFolder, weights
from slipway_retriever.embed.quantize import Quantize, per_block, per_tensor
from slipway_retriever.embed.shape import ModelMissing

CONVERSION = 2
"""Part of every digest: raise it when the conversion changes what comes out."""

QUERY_WIDTHS = (12, 16, 20, 8, 24, 28, 32, 40, 48, 4, 56, 64)
"""Padded tokens of single queries, the likeliest first: an engine that compiles shapes does so before anybody waits."""
WARM_SECONDS = 3.0

Precision = Literal["int8", "fp32"]


class OnnxEmbedder:
    """One model folder with weights of one precision. Construction converts (once, some seconds) or reads the cache; raises ModelMissing.

    In int8 on ONNX Runtime there are two graphs: single queries, which rank everything else, are computed by the more exact one.

    The engine is no part of the digest: int8 weights with int8 or with bf16 products give vectors within the same distance of the reference and of each other
    (cosine 0.985; a test holds MiniLM to it), so a store can move between machines without being embedded anew.
    """

    def __init__(self, folder: ModelFolder, precision: Precision, cache: Path, threads: int, engine: EngineName = "auto") -> None:
        from tokenizers import Tokenizer

        self.name = folder.name
        self.digest = f"{folder.digest()}-{precision}-{CONVERSION}"
        self.dimensions = folder.shape.hidden
        self.query_prefix = folder.query_prefix
        self._tokenizer = Tokenizer.from_file(str(folder.path / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length=folder.max_tokens)
        # Full precision is asked for as the reference; bf16 would round it.
        asked = "onnxruntime" if precision == "fp32" and engine == "auto" else engine
        try:
            if precision == "fp32":
                self._session = open_session(_converted(folder, cache, self.digest, None), asked, threads)
            else:
                graph = _converted(folder, cache, self.digest, per_tensor)
                self._session = open_session(
                    graph, asked, threads, small=lambda: _converted(folder, cache, f"{self.digest}-blocks", per_block)
                )
        except EngineMissing as error:
            raise ModelMissing(str(error)) from error
        self.choice: Choice = self._session.choice
        warm(self._session, ("input_ids", "attention_mask"), [(1, width) for width in QUERY_WIDTHS], WARM_SECONDS)

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids with the special tokens, cut to the model's longest input."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]

    def embed(self, batch: Sequence[Sequence[int]]) -> Vectors:
        """One forward pass over the padded batch."""
        width = max(len(ids) for ids in batch)
        ids = np.zeros((len(batch), width), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, sequence in enumerate(batch):
            ids[row, : len(sequence)] = sequence
            mask[row, : len(sequence)] = 1
        return self._session.run({"input_ids": ids, "attention_mask": mask})


def _converted(folder: ModelFolder, cache: Path, digest: str, quantize: Quantize | None) -> Path:
    """The graph's file, quantized where it is asked for. Its name holds its own digest too, so that a damaged cache is converted anew and never parsed."""
    for known in sorted(cache.glob(f"{digest}.*.onnx")):
        if known.name == f"{digest}.{_sha(known)}.onnx":
            return known
        known.unlink()
    # Only a conversion needs the graph library, so that every later start is quicker.
    import onnx

    from slipway_retriever.embed import bert_onnx

    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".converting-") as scratch:
        plain, final = Path(scratch) / "fp32.onnx", Path(scratch) / "final.onnx"
        model = bert_onnx.build(folder.shape, weights(folder), folder.pooling)
        # The quantizer asks for its own clean-up pass first; this graph is written in the form that the pass would leave.
        onnx.helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})
        onnx.save(model, str(plain))
        if quantize is None:
            plain.rename(final)
        else:
            quantize(plain, final)
        with final.open("rb") as file:
            os.fsync(file.fileno())
        target = cache / f"{digest}.{_sha(final)}.onnx"
        final.replace(target)
    return target


def _sha(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
