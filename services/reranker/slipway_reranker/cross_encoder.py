"""A cross-encoder on ONNX Runtime: query and passage read together by one BERT, one relevance score out.

It knows tokenizer, graph, calibration file and batching. It refuses to know how the weights came to be (training/recipes/reranker tells).
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from slipway_reranker.scorer import Scored, ScorerMissing
from slipway_reranker.settings import RerankerSettings


class Session(Protocol):
    """The two verbs of onnxruntime's InferenceSession that are used here."""

    def run(self, outputs: list[str], feeds: dict[str, NDArray[np.int64]]) -> list[NDArray[np.float32]]: ...


class Encoding(Protocol):
    ids: list[int]
    type_ids: list[int]


class PairTokenizer(Protocol):
    def encode_batch(self, pairs: list[tuple[str, str]]) -> list[Encoding]: ...


@dataclass(frozen=True, slots=True)
class Platt:
    """relevance = sigmoid(scale * logit + shift); evidence = sigmoid of the best pair's logit under its own scale and shift."""

    relevance_scale: float = 1.0
    relevance_shift: float = 0.0
    evidence_scale: float = 1.0
    evidence_shift: float = 0.0


class CrossEncoder:
    """A folder of `model.onnx`, `tokenizer.json` and, optionally, `calibration.json` (a Platt) and `manifest.json` ({"files": {name: sha256}})."""

    def __init__(self, name: str, session: Session, tokenizer: PairTokenizer, platt: Platt, settings: RerankerSettings) -> None:
        self.name = name
        self._session = session
        self._tokenizer = tokenizer
        self._platt = platt
        self._max_tokens = settings.max_pair_tokens
        self._batch_tokens = settings.batch_tokens

    @classmethod
    def load(cls, folder: str, settings: RerankerSettings) -> "CrossEncoder":
        """Verify and load `folder`; raises ScorerMissing with file and cause."""
        import onnxruntime
        from tokenizers import Tokenizer

        path = Path(folder)
        for name in ("model.onnx", "tokenizer.json"):
            if not (path / name).is_file():
                raise ScorerMissing(f"SLIPWAY_RERANKER_SCORER names a folder without {name}: {path}")
        _verify(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = settings.threads
        options.inter_op_num_threads = 1
        tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        session = onnxruntime.InferenceSession(str(path / "model.onnx"), options, providers=["CPUExecutionProvider"])
        return cls(path.name, cast(Session, session), cast(PairTokenizer, tokenizer), _platt(path / "calibration.json"), settings)

    def score(self, query: str, documents: Sequence[str]) -> Scored:
        """One forward pass per token budget, shortest pairs first, so that little padding is computed."""
        encodings = self._tokenizer.encode_batch([(query, document) for document in documents])
        rows = [_cut(encoding, self._max_tokens) for encoding in encodings]
        logits = [0.0] * len(rows)
        for batch in _batches([len(ids) for ids, _ in rows], self._batch_tokens):
            for i, logit in zip(batch, self._forward([rows[i] for i in batch]), strict=True):
                logits[i] = logit
        platt = self._platt
        return Scored(
            tuple(_sigmoid(platt.relevance_scale * logit + platt.relevance_shift) for logit in logits),
            _sigmoid(platt.evidence_scale * max(logits) + platt.evidence_shift),
            tuple(i for i, encoding in enumerate(encodings) if len(encoding.ids) > self._max_tokens),
        )

    def _forward(self, rows: list[tuple[list[int], list[int]]]) -> list[float]:
        width = max(len(ids) for ids, _ in rows)
        ids = np.zeros((len(rows), width), dtype=np.int64)
        types, mask = np.zeros_like(ids), np.zeros_like(ids)
        for i, (row_ids, row_types) in enumerate(rows):
            ids[i, : len(row_ids)], types[i, : len(row_ids)], mask[i, : len(row_ids)] = row_ids, row_types, 1
        out = self._session.run(["logits"], {"input_ids": ids, "attention_mask": mask, "token_type_ids": types})[0]
        return [float(x) for x in out.reshape(len(rows), -1)[:, 0]]


def _cut(encoding: Encoding, limit: int) -> tuple[list[int], list[int]]:
    """At most `limit` tokens; the closing separator stays."""
    if len(encoding.ids) <= limit:
        return encoding.ids, encoding.type_ids
    return [*encoding.ids[: limit - 1], encoding.ids[-1]], [*encoding.type_ids[: limit - 1], encoding.type_ids[-1]]


def _batches(lengths: list[int], budget: int) -> list[list[int]]:
    out: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if out and lengths[i] * (len(out[-1]) + 1) <= budget:
            out[-1].append(i)
        else:
            out.append([i])
    return out


def _verify(folder: Path) -> None:
    """Hold every file that the manifest names to its digest, before a native parser reads it."""
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        return
    for name, wanted in json.loads(manifest.read_text(encoding="utf-8"))["files"].items():
        if Path(name).name != name or not (folder / name).is_file():
            raise ScorerMissing(f"{manifest} names {name!r}, which is not a file beside it")
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != wanted:
            raise ScorerMissing(f"{folder / name} is not the file that its manifest describes: the digests differ")


def _platt(path: Path) -> Platt:
    if not path.is_file():
        return Platt()
    values = json.loads(path.read_text(encoding="utf-8"))
    return Platt(**{key: float(values[key]) for key in ("relevance_scale", "relevance_shift", "evidence_scale", "evidence_shift")})


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, value))))
