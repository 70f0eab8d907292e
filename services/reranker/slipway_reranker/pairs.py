"""Query and passage as one sequence through the graph: windows, tokens, batches, one logit a pair.

It knows tokenizer, graph and batching. It refuses to know what a logit means and which passages are worth reading.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from slipway_shared.encoding.choice import Choice, EngineMissing
from slipway_shared.encoding.session import Session, open_session, warm
from slipway_shared.window import best_window, estimated_tokens

from slipway_reranker.scorer import ScorerMissing
from slipway_reranker.settings import RerankerSettings

DEFAULT_PAIR_TOKENS = 192
SPECIAL_TOKENS = 4
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
LONGEST = 256
"""Tokens that a pair may have where a long query needs more than the folder says: a query that is cut is another question. With pairs of 96 tokens, tracebacks
with their code were ranked 10 points of nDCG@10 worse than search had put them; with these, 2."""


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


@dataclass(frozen=True, slots=True)
class Reading:
    """reading.json of a model's folder: how the model was trained to read. Without one, 192 tokens and no windows.

    `prose_pair_tokens`: the same for lists of prose (prose.py), which then have a calibration of their own; 0 where all lists are read alike.
    `window`: passages are cut to their best stretch before they are read, so that a pair has about `max_pair_tokens` tokens, and more (up to LONGEST) where
    the query would leave a passage less than half of them; else passages lose their end.
    """

    max_pair_tokens: int = DEFAULT_PAIR_TOKENS
    window: bool = False
    prose_pair_tokens: int = 0

    @property
    def longest(self) -> int:
        """Tokens of the longest pair."""
        return max(self.max_pair_tokens, LONGEST) if self.window else self.max_pair_tokens

    def room(self, query: str) -> int:
        """Estimated tokens that a passage's stretch may have."""
        asked = estimated_tokens(query) + SPECIAL_TOKENS
        return min(max(self.max_pair_tokens // 2, self.max_pair_tokens - asked), max(self.max_pair_tokens // 4, self.longest - asked))

    @classmethod
    def of(cls, folder: Path, settings: RerankerSettings) -> "Reading":
        """The folder's, with what the settings say instead; raises ScorerMissing."""
        path = folder / "reading.json"
        try:
            raw = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
            usual, prose = int(raw.get("max_pair_tokens", DEFAULT_PAIR_TOKENS)), int(raw.get("prose_pair_tokens", 0))
            asked = settings.max_pair_tokens
            return cls(asked or usual, bool(raw.get("window", False)), 0 if asked else prose)
        except (ValueError, TypeError, AttributeError) as error:
            raise ScorerMissing(f"{path} does not say how the model reads: {error!r}") from error


class PairReader:
    """One model folder: `model.onnx` (inputs `input_ids`, `attention_mask`, `token_type_ids`; output `logits`) and `tokenizer.json`."""

    def __init__(self, session: Session, tokenizer: PairTokenizer, reading: Reading, batch_tokens: int) -> None:
        self._session = session
        self._tokenizer = tokenizer
        self._reading = reading
        self._batch_tokens = batch_tokens
        self.choice: Choice = session.choice

    @classmethod
    def load(cls, folder: Path, settings: RerankerSettings) -> "PairReader":
        """Verify and load; raises ScorerMissing with file and cause."""
        from tokenizers import Tokenizer

        for name in ("model.onnx", "tokenizer.json"):
            if not (folder / name).is_file():
                raise ScorerMissing(f"SLIPWAY_RERANKER_SCORER names a folder without {name}: {folder}")
        _verify(folder)
        reading = Reading.of(folder, settings)
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(reading.longest)  # the longer of the two loses
        try:
            session = open_session(folder / "model.onnx", settings.engine, settings.threads)
        except EngineMissing as error:
            raise ScorerMissing(str(error)) from error
        return cls(session, cast(PairTokenizer, tokenizer), reading, settings.batch_tokens)

    def for_prose(self) -> "PairReader | None":
        """The same graph for lists of prose; None where they are read as all others are."""
        tokens = self._reading.prose_pair_tokens
        reading = replace(self._reading, max_pair_tokens=tokens)
        return PairReader(self._session, self._tokenizer, reading, self._batch_tokens) if tokens else None

    def warm(self, rows: Sequence[int], seconds: float) -> int:
        """Compute what usual lists need, passes of `rows` pairs as long as the model reads, the likeliest first, for at most `seconds`; how many passes."""
        usual = self._reading.max_pair_tokens
        widths = sorted(range(usual // 2, usual * 5 // 4 + 1, 8), key=lambda width: abs(usual - width))
        return warm(self._session, INPUTS, [(count, width) for width in widths for count in rows], seconds)

    def read(self, query: str, documents: Sequence[str], places: Sequence[int], weight: Mapping[str, float]) -> Read:
        """The logits of `places`: one forward pass per token budget, shortest pairs first, so that little padding is computed."""
        texts = [self._seen(query, documents[place], weight) for place in places]
        encodings = self._tokenizer.encode_batch([(query, text) for text in texts])
        rows = [(encoding.ids, encoding.type_ids) for encoding in encodings]
        logits: dict[int, float] = {}
        for batch in _batches([len(ids) for ids, _ in rows], self._batch_tokens):
            for i, logit in zip(batch, self._forward([rows[i] for i in batch]), strict=True):
                logits[places[i]] = logit
        whole = [
            not encoding.overflowing and text == documents[place] for place, encoding, text in zip(places, encodings, texts, strict=True)
        ]
        return Read(logits, tuple(place for place, all_of_it in zip(places, whole, strict=True) if not all_of_it))

    def _seen(self, query: str, document: str, weight: Mapping[str, float]) -> str:
        if not self._reading.window:
            return document
        return best_window(document, weight, self._reading.room(query))

    def _forward(self, rows: list[tuple[list[int], list[int]]]) -> list[float]:
        width = max(len(ids) for ids, _ in rows)
        ids = np.zeros((len(rows), width), dtype=np.int64)
        types, mask = np.zeros_like(ids), np.zeros_like(ids)
        for i, (row_ids, row_types) in enumerate(rows):
            ids[i, : len(row_ids)], types[i, : len(row_ids)], mask[i, : len(row_ids)] = row_ids, row_types, 1
        out = self._session.run(dict(zip(INPUTS, (ids, mask, types), strict=True)))
        return [float(x) for x in out.reshape(len(rows), -1)[:, 0]]


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
