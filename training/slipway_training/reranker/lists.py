"""Mined lists: reading them, choosing negatives, and batches of like length. It refuses to know the model and the loss."""

import hashlib
import json
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer

POOL = 96
"""Lists that are sorted by length together before they are cut into steps."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One query with the passages that search gave, best first, and the places of those that answer (none: a miss).

    `teacher` are logits of a first-stage ensemble, one per passage, where the miner wrote scores; empty otherwise. The first `found` passages are what search
    returned; relevant ones that it missed follow, which training uses and figures must not.
    """

    set: str
    query: str
    documents: tuple[str, ...]
    relevant: tuple[int, ...]
    teacher: tuple[float, ...] = ()
    found: int = 0

    @property
    def held_out(self) -> bool:
        return hashlib.sha256(self.query.encode()).digest()[1] % 5 == 0


@dataclass(frozen=True, slots=True)
class Example:
    """A positive and its negatives, tokenized; the positive is first."""

    ids: list[list[int]]
    types: list[list[int]]
    teacher: list[float]

    @property
    def width(self) -> int:
        return max(map(len, self.ids))


def read(path: Path, teacher: tuple[float, float] = (12.0, 6.0)) -> list[Listed]:
    """Lists of `python -m slipway_retriever.evaluate.mine` or `... --pairs`; `teacher` weighs cosine and BM25 share."""
    out: list[Listed] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        raw = json.loads(line)
        logits = tuple(teacher[0] * d + teacher[1] * w for d, w in zip(raw.get("dense", []), raw.get("words", []), strict=True))
        documents = tuple(raw["documents"])
        out.append(Listed(raw.get("set", ""), raw["query"], documents, tuple(raw["relevant"]), logits, raw.get("found", len(documents))))
    return out


def example(row: Listed, tokenizer: Tokenizer, count: int, rng: random.Random) -> Example:
    """A relevant passage and `count` wrong ones: the first of a random three quarters of the list, so that epochs differ."""
    wrong = [place for place in range(len(row.documents)) if place not in row.relevant]
    chosen = wrong if len(wrong) <= count else [place for place in wrong if rng.random() < 0.6][:count]
    places = [rng.choice(row.relevant), *chosen]
    encoded = tokenizer.encode_batch([(row.query, row.documents[place]) for place in places])
    return Example([e.ids for e in encoded], [e.type_ids for e in encoded], [row.teacher[place] for place in places] if row.teacher else [])


def steps(rows: Sequence[Listed], tokenizer: Tokenizer, count: int, tokens: int, rng: random.Random) -> Iterator[list[Example]]:
    """For ever: batches of at most `tokens` padded tokens, like lengths together, in random order within a pool."""
    while True:
        order = rng.sample(range(len(rows)), len(rows))
        for start in range(0, len(order), POOL):
            pool = sorted((example(rows[i], tokenizer, count, rng) for i in order[start : start + POOL]), key=lambda e: e.width)
            batches: list[list[Example]] = []
            for item in pool:
                if batches and item.width * (len(item.ids) + sum(len(e.ids) for e in batches[-1])) <= tokens:
                    batches[-1].append(item)
                else:
                    batches.append([item])
            rng.shuffle(batches)
            yield from batches


def tensors(ids: Sequence[Sequence[int]], types: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
    """The model's inputs, padded at the right."""
    width = max(map(len, ids))
    out = {name: torch.zeros(len(ids), width, dtype=torch.long) for name in ("input_ids", "attention_mask", "token_type_ids")}
    for i, (row, row_types) in enumerate(zip(ids, types, strict=True)):
        out["input_ids"][i, : len(row)] = torch.tensor(row)
        out["token_type_ids"][i, : len(row)] = torch.tensor(row_types)
        out["attention_mask"][i, : len(row)] = 1
    return out


def ndcg(order: Sequence[int], relevant: Sequence[int], total: int, k: int = 10) -> float:
    """nDCG@k of a list in `order` with binary gains, where `total` passages are relevant."""
    gain = sum(1 / math.log2(place + 2) for place, item in enumerate(order[:k]) if item in relevant)
    return gain / sum(1 / math.log2(place + 2) for place in range(min(k, total)))
