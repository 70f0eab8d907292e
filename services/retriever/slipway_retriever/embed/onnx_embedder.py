"""Sentence vectors on ONNX Runtime: the converted graph, cached on disk, and its session.

It knows conversion, int8 quantization and the cache. It refuses to know batching policy and what the vectors are for.
"""

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from slipway_retriever.embed.embedder import Vectors
from slipway_retriever.embed.model_folder import ModelFolder, weights

CONVERSION = 2
"""Part of every digest: raise it when the conversion changes what comes out."""

Precision = Literal["int8", "fp32"]


class Session(Protocol):
    """The verb of onnxruntime's InferenceSession that is used here."""

    def run(self, outputs: list[str], feeds: dict[str, NDArray[np.int64]]) -> list[NDArray[np.float32]]: ...


class OnnxEmbedder:
    """One model folder at one precision. Construction converts (once, some seconds) or reads the cache."""

    def __init__(self, folder: ModelFolder, precision: Precision, cache: Path, threads: int) -> None:
        from tokenizers import Tokenizer

        self.name = folder.name
        self.digest = f"{folder.digest()}-{precision}-{CONVERSION}"
        self.dimensions = folder.shape.hidden
        self.query_prefix = folder.query_prefix
        self._tokenizer = Tokenizer.from_file(str(folder.path / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length=folder.max_tokens)
        self._session = _session(_converted(folder, precision, cache, self.digest), threads)

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
        return self._session.run(["embedding"], {"input_ids": ids, "attention_mask": mask})[0]


def _session(path: Path, threads: int) -> Session:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads burn the core that the event loop needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    # The fused SkipLayerNormalization is a scalar loop on CPUs (onnxruntime 1.32): an addition and the vectorised LayerNormalization take a fifth of its time,
    # which makes the whole forward pass a quarter faster.
    apart = ["SkipLayerNormFusion"]
    return cast(Session, onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"], disabled_optimizers=apart))


def _converted(folder: ModelFolder, precision: Precision, cache: Path, digest: str) -> Path:
    """The graph's file. Its name holds its own digest too, so that a damaged cache is converted anew and never parsed."""
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
        if precision == "int8":
            _quantize(plain, final)
        else:
            plain.rename(final)
        with final.open("rb") as file:
            os.fsync(file.fileno())
        target = cache / f"{digest}.{_sha(final)}.onnx"
        final.replace(target)
    return target


def _quantize(source: Path, target: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # Per channel and signed: min cosine 0.989 to fp32 instead of 0.954, at the same speed; unsigned weights are 2.4 times slower on AVX-512 VNNI.
    quantize_dynamic(str(source), str(target), per_channel=True, weight_type=QuantType.QInt8, extra_options={"DefaultTensorType": 1})


def _sha(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
