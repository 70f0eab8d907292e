"""Nearest vectors beside FAISS Flat, words beside bm25s and rank-bm25: in this process, one query at a time."""

import importlib
import importlib.util
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import faiss
import numpy as np

from slipway_retriever.benchmark.made import WORDS
from slipway_retriever.benchmark.rounds import Contender
from slipway_retriever.index.adaptive import AdaptiveIndex
from slipway_retriever.index.bm25 import Bm25Index
from slipway_retriever.index.exact import ExactIndex

VECTORS, DIMENSIONS, CENTRES = 100_000, 384, 1000
PASSAGES = 20_000


def vectors() -> tuple[dict[str, Contender], str]:
    """The index that a large store gets and exact search, and a title with the recall of the first."""
    rng = np.random.default_rng(5)
    centres = rng.standard_normal((CENTRES, DIMENSIONS)).astype(np.float32)

    def made(count: int) -> Any:
        raw = centres[rng.integers(0, CENTRES, count)] + 0.7 * rng.standard_normal((count, DIMENSIONS)).astype(np.float32)
        return raw / np.linalg.norm(raw, axis=1, keepdims=True)

    faiss.omp_set_num_threads(1)
    rows, queries = made(VECTORS), made(256)
    ours, flat = AdaptiveIndex(DIMENSIONS, 20_000), ExactIndex(DIMENSIONS)
    for index in (ours, flat):
        index.add(np.arange(VECTORS, dtype=np.int64), rows)
    shared = [len(set(ours.search(q, 10)[0].tolist()) & set(flat.search(q, 10)[0].tolist())) for q in queries]
    title = f"nearest of {VECTORS:,} x {DIMENSIONS}, recall@10 {np.mean(shared) / 10:.3f} ({ours.kind})"
    return {"ours": _each(ours.search, queries), "faiss Flat": _each(flat.search, queries)}, title


def _each(search: Callable[[Any, int], object], queries: Sequence[Any]) -> Contender:
    turn = itertools.cycle(queries)

    def work() -> int:
        search(next(turn), 10)
        return 1

    return Contender(work)


def words() -> dict[str, Contender]:
    """Ours and the usual libraries over the same passages."""
    passages, queries = _texts(PASSAGES, 80), _texts(64, 5, seed=6)
    ours = Bm25Index()
    ours.add(np.arange(PASSAGES, dtype=np.int64), passages)
    out = {"ours": _each(ours.search, queries)}
    if importlib.util.find_spec("bm25s"):
        bm25s: Any = importlib.import_module("bm25s")
        retriever = bm25s.BM25()
        retriever.index(bm25s.tokenize(passages, show_progress=False), show_progress=False)
        tokens = [bm25s.tokenize(query, show_progress=False) for query in queries]
        out["bm25s, queries tokenized before"] = _each(lambda t, k: retriever.retrieve(t, k=k, show_progress=False), tokens)
    if importlib.util.find_spec("rank_bm25"):
        rank_bm25: Any = importlib.import_module("rank_bm25")
        slow = rank_bm25.BM25Okapi([passage.split() for passage in passages])
        out["rank-bm25"] = _each(lambda query, k: np.argsort(slow.get_scores(query.split()))[-k:], queries)
    return out


def _texts(count: int, words: int, seed: int = 3) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(f"{WORDS[i % len(WORDS)]}{'' if i < 60 else i}" for i in rng.zipf(1.3, words) % 5000) for _ in range(count)]
