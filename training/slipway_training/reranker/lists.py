"""Mined lists: reading them, choosing negatives, and batches of like length. It refuses to know the model and the loss."""

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from slipway_shared.terms import terms
from slipway_shared.window import best_window, estimated_tokens, rarity
from tokenizers import Tokenizer
from torch import Tensor

from slipway_training.errors import DataMissing
from slipway_training.reranker.config import DataConfig

POOL = 96
"""Lists that are sorted by length together before they are cut into steps."""
FIRST_STAGE = (12.0, 6.0)
"""What cosine and BM25's share weigh in the first stage's logits."""
SPECIAL_TOKENS = 4


@dataclass(frozen=True, slots=True)
class Listed:
    """One query with the passages that search gave, best first, and the places of those that answer (none: a miss).

    `first_stage` are logits of a first-stage ensemble, one per passage, where the miner wrote scores; empty otherwise. The first `found` passages are what search
    returned; relevant ones that it missed follow, which training uses and figures must not.
    """

    set: str
    query: str
    documents: tuple[str, ...]
    relevant: tuple[int, ...]
    first_stage: tuple[float, ...] = ()
    found: int = 0

    @property
    def digest(self) -> bytes:
        """Of the query: an order that has nothing to do with where a list came from."""
        return hashlib.sha256(self.query.encode()).digest()

    @property
    def held_out(self) -> bool:
        """Of a fifth of the queries, by their digest."""
        return self.digest[1] % 5 == 0


@dataclass(frozen=True, slots=True)
class Example:
    """A positive and its negatives, tokenized; the positive is first."""

    ids: list[list[int]]
    types: list[list[int]]
    first_stage: list[float]

    @property
    def width(self) -> int:
        """Tokens of the longest pair."""
        return max(map(len, self.ids))


@dataclass(frozen=True, slots=True)
class Reading:
    """How pairs become tokens: the tokenizer with its truncation, and the window (0: none) that passages are cut to before."""

    tokenizer: Tokenizer
    window_tokens: int

    def pairs(self, query: str, documents: Sequence[str]) -> tuple[list[list[int]], list[list[int]]]:
        """Ids and part numbers of every pair."""
        texts = cut(query, documents, self.window_tokens) if self.window_tokens else documents
        encoded = self.tokenizer.encode_batch([(query, text) for text in texts])
        return [one.ids for one in encoded], [one.type_ids for one in encoded]


def cut(query: str, documents: Sequence[str], tokens: int) -> list[str]:
    """Every passage's best stretch, so that a pair has about `tokens` tokens: what the service reads of it."""
    weight = rarity(terms(query), [set(terms(text)) for text in documents])
    room = max(tokens // 2, tokens - estimated_tokens(query) - SPECIAL_TOKENS)
    return [best_window(text, weight, room) for text in documents]


def read(path: Path, data: DataConfig) -> list[Listed]:
    """Lists of `python -m slipway_retriever.evaluate.mine` or `... --pairs` that hold an answer; raises DataMissing."""
    if not path.is_file():
        raise DataMissing(
            f"{path} is no file of lists; `python -m slipway_retriever.evaluate.mine` writes one (training/recipes/reranker/README.md)"
        )
    rows = [_listed(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if row.relevant and not (data.held_out and row.held_out)]
    for name, most in data.limit.items():
        # By digest: files are written source by source, and the first would be of one book.
        kept = set(sorted(row.digest for row in rows if row.set == name)[:most])
        rows = [row for row in rows if row.set != name or row.digest in kept]
    out = [row for row in rows for _ in range(data.repeat.get(row.set, 1))]
    if not out:
        raise DataMissing(f"{path} holds no list with an answer")
    return out


def example(row: Listed, reading: Reading, count: int, rng: random.Random) -> Example:
    """A relevant passage and `count` wrong ones: the first of a random part of the list, so that epochs differ."""
    wrong = [place for place in range(len(row.documents)) if place not in row.relevant]
    chosen = wrong if len(wrong) <= count else [place for place in wrong if rng.random() < 0.6][:count]
    places = [rng.choice(row.relevant), *chosen]
    ids, types = reading.pairs(row.query, [row.documents[place] for place in places])
    return Example(ids, types, [row.first_stage[place] for place in places] if row.first_stage else [])


def steps(rows: Sequence[Listed], reading: Reading, count: int, tokens: int, rng: random.Random) -> Iterator[list[Example]]:
    """For ever: batches of at most `tokens` padded tokens, like lengths together, in random order within a pool."""
    while True:
        order = rng.sample(range(len(rows)), len(rows))
        for start in range(0, len(order), POOL):
            pool = sorted((example(rows[i], reading, count, rng) for i in order[start : start + POOL]), key=lambda e: e.width)
            batches: list[list[Example]] = []
            for item in pool:
                if batches and item.width * (len(item.ids) + sum(len(e.ids) for e in batches[-1])) <= tokens:
                    batches[-1].append(item)
                else:
                    batches.append([item])
            rng.shuffle(batches)
            yield from batches


def tensors(ids: Sequence[Sequence[int]], types: Sequence[Sequence[int]]) -> dict[str, Tensor]:
    """The model's inputs, padded at the right."""
    width = max(map(len, ids))
    out = {name: torch.zeros(len(ids), width, dtype=torch.long) for name in ("input_ids", "attention_mask", "token_type_ids")}
    for i, (row, row_types) in enumerate(zip(ids, types, strict=True)):
        out["input_ids"][i, : len(row)] = torch.tensor(row)
        out["token_type_ids"][i, : len(row)] = torch.tensor(row_types)
        out["attention_mask"][i, : len(row)] = 1
    return out


def _listed(raw: dict[str, object]) -> Listed:
    documents = tuple(map(str, _list(raw["documents"])))
    scores = zip(_list(raw.get("dense", [])), _list(raw.get("words", [])), strict=True)
    first = tuple(FIRST_STAGE[0] * float(str(dense)) + FIRST_STAGE[1] * float(str(words)) for dense, words in scores)
    relevant = tuple(int(str(place)) for place in _list(raw["relevant"]))
    return Listed(str(raw.get("set", "")), str(raw["query"]), documents, relevant, first, int(str(raw.get("found", len(documents)))))


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else []
