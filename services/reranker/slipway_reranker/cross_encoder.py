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

from slipway_reranker.blend import PLACE_DECAY, Blend, evidence_signals, relevance_signals
from slipway_reranker.overlap import Match, compare
from slipway_reranker.scorer import Scored, ScorerMissing
from slipway_reranker.settings import RerankerSettings

FIRST = 8
"""Passages that are read before it is decided whether the others have to be."""


class Session(Protocol):
    """The two verbs of onnxruntime's InferenceSession that are used here."""

    def run(self, outputs: list[str], feeds: dict[str, NDArray[np.int64]]) -> list[NDArray[np.float32]]: ...


class Encoding(Protocol):
    ids: list[int]
    type_ids: list[int]
    overflowing: "list[Encoding]"


class PairTokenizer(Protocol):
    def encode_batch(self, pairs: list[tuple[str, str]]) -> list[Encoding]: ...


@dataclass(frozen=True, slots=True)
class Read:
    """Logits of the passages that were read, by their place, and the places that were read only in part."""

    logits: dict[int, float]
    truncated: tuple[int, ...]


class CrossEncoder:
    """A folder of `model.onnx`, `tokenizer.json` and, optionally, `calibration.json` (a Blend) and `digests.json` ({"files": {name: sha256}}).

    The FIRST most promising passages are read first. When one of them is so relevant that no other will pass it (chance at least `obvious`, a figure of
    the calibration that was chosen for a loss of order below a tenth of a point), the others are not read: they keep their order below the least of the
    first, as words and place rank them.
    """

    def __init__(self, name: str, session: Session, tokenizer: PairTokenizer, blend: Blend, settings: RerankerSettings) -> None:
        self.name = name
        self._session = session
        self._tokenizer = tokenizer
        self._blend = blend
        self._batch_tokens = settings.batch_tokens

    @classmethod
    def load(cls, folder: str, settings: RerankerSettings) -> "CrossEncoder":
        """Verify and load `folder`; raises ScorerMissing with file and cause."""
        from tokenizers import Tokenizer

        path = Path(folder)
        for name in ("model.onnx", "tokenizer.json"):
            if not (path / name).is_file():
                raise ScorerMissing(f"SLIPWAY_RERANKER_SCORER names a folder without {name}: {path}")
        _verify(path)
        tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(settings.max_pair_tokens)  # the longer of the two loses
        calibration = path / "calibration.json"
        blend = Blend.read(calibration) if calibration.is_file() else Blend()
        return cls(path.name, _session(path / "model.onnx", settings.threads), cast(PairTokenizer, tokenizer), blend, settings)

    def score(self, query: str, documents: Sequence[str]) -> Scored:
        """Relevance and evidence by the blend; see the class for what is not read."""
        matches, words = compare(query, documents)
        order = first_order(matches)
        first = self.read(query, documents, order[:FIRST])
        odds = self._odds(first.logits, matches)
        truncated = first.truncated
        if len(order) > FIRST and _chance(max(odds.values())) < self._blend.obvious:
            rest = self.read(query, documents, order[FIRST:])
            odds |= self._odds(rest.logits, matches)
            truncated += rest.truncated
        floor = min(odds.values())
        every = [odds.get(place, floor - 1 - rank / len(order)) for rank, place in sorted(enumerate(order), key=lambda pair: pair[1])]
        seen = [odds[place] for place in sorted(odds)]
        evidence = self._blend.evidence.chance(evidence_signals(seen, words))
        return Scored(tuple(map(_chance, every)), evidence, tuple(sorted(truncated)))

    def read(self, query: str, documents: Sequence[str], places: Sequence[int]) -> Read:
        """The logits of `places`: one forward pass per token budget, shortest pairs first, so that little padding is computed."""
        encodings = self._tokenizer.encode_batch([(query, documents[place]) for place in places])
        rows = [(encoding.ids, encoding.type_ids) for encoding in encodings]
        logits: dict[int, float] = {}
        for batch in _batches([len(ids) for ids, _ in rows], self._batch_tokens):
            for i, logit in zip(batch, self._forward([rows[i] for i in batch]), strict=True):
                logits[places[i]] = logit
        truncated = tuple(place for place, encoding in zip(places, encodings, strict=True) if encoding.overflowing)
        return Read(logits, truncated)

    def _odds(self, logits: dict[int, float], matches: Sequence[Match]) -> dict[int, float]:
        return {place: self._blend.relevance.logit(relevance_signals(logit, place, matches[place])) for place, logit in logits.items()}

    def _forward(self, rows: list[tuple[list[int], list[int]]]) -> list[float]:
        width = max(len(ids) for ids, _ in rows)
        ids = np.zeros((len(rows), width), dtype=np.int64)
        types, mask = np.zeros_like(ids), np.zeros_like(ids)
        for i, (row_ids, row_types) in enumerate(rows):
            ids[i, : len(row_ids)], types[i, : len(row_ids)], mask[i, : len(row_ids)] = row_ids, row_types, 1
        out = self._session.run(["logits"], {"input_ids": ids, "attention_mask": mask, "token_type_ids": types})[0]
        return [float(x) for x in out.reshape(len(rows), -1)[:, 0]]


def first_order(matches: Sequence[Match]) -> list[int]:
    """Places in the order in which they are read: as retrieval gave them and as words match."""
    return sorted(range(len(matches)), key=lambda place: -(matches[place].relevance + math.exp(-place / PLACE_DECAY)))


def _session(path: Path, threads: int) -> Session:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads burn the core that the other services need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    # The fused SkipLayerNormalization is a scalar loop on CPUs (onnxruntime 1.32): an addition and the vectorised LayerNormalization take a fifth of its time.
    apart = ["SkipLayerNormFusion"]
    return cast(Session, onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"], disabled_optimizers=apart))


def _batches(lengths: list[int], budget: int) -> list[list[int]]:
    out: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if out and lengths[i] * (len(out[-1]) + 1) <= budget:
            out[-1].append(i)
        else:
            out.append([i])
    return out


def _verify(folder: Path) -> None:
    """Hold every file that digests.json names to its digest, before a native parser reads it."""
    listed = folder / "digests.json"
    if not listed.is_file():
        return
    for name, wanted in json.loads(listed.read_text(encoding="utf-8"))["files"].items():
        if Path(name).name != name or not (folder / name).is_file():
            raise ScorerMissing(f"{listed} names {name!r}, which is not a file beside it")
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != wanted:
            raise ScorerMissing(f"{folder / name} is not the file that digests.json describes: the digests differ")


def _chance(odds: float) -> float:
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, odds))))
