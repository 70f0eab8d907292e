"""One search: embed the query, rank by vectors and by words, fuse, fold near-duplicates, spread where asked to, answer passages.

It knows the order of these steps and the indexes of the stores, kept fresh as files come and go. It refuses to know HTTP.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from slipway_shared.contracts import Passage, SearchMode
from slipway_shared.terms import terms

from slipway_retriever.diversity import spread
from slipway_retriever.duplicates import Folder
from slipway_retriever.filters import compile_filter
from slipway_retriever.index.fusion import ANY, Share, blend
from slipway_retriever.index.index import Numbers, Scores
from slipway_retriever.shelf import Shelf
from slipway_retriever.store import passages, stores
from slipway_retriever.store.tenant import Tenant

CANDIDATES = 100
"""Passages that each ranking gives to the fusion, at least. With 50 a passage that only one of the two rankings had far down was lost: on the development set
`factbook`, 94.0 instead of 96.3 % of the answers were among the first 20."""

SPARE = 4
"""Passages read beside those that are asked for, in place of duplicates."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is searched. `vector` is None for mode bm25."""

    text: str
    vector: NDArray[np.float32] | None
    store_ids: tuple[str, ...]
    top_k: int
    mode: SearchMode
    filters: Mapping[str, Any] | None = None
    diversity: float = 0.0


class Searcher:
    """Search over all tenants. `search` blocks; it is called from worker threads."""

    def __init__(self, shelf: Shelf, share: Share = ANY) -> None:
        self._shelf = shelf
        self._share = share

    def search(self, tenant: Tenant, query: Query) -> list[Passage]:
        """Passages, best first. Raises NotFound for an unknown store and BadRequest for a filter that cannot be read."""
        matches = compile_filter(query.filters) if query.filters is not None else None
        store_ids = list(dict.fromkeys(stores.resolved(tenant, store_id) for store_id in query.store_ids))
        depth = max(CANDIDATES, 3 * query.top_k)
        dense: list[tuple[Numbers, Scores]] = []
        words: list[tuple[Numbers, Scores]] = []
        for store_id in store_ids:
            allowed = None if matches is None else passages.allowed(tenant, store_id, matches)
            shelved = self._shelf.get(tenant, store_id)
            with shelved.lock:
                self._shelf.refresh(shelved, tenant, store_id)
                if query.vector is not None and query.mode != "bm25":
                    dense.append(shelved.vectors.search(query.vector, depth, allowed))
                if query.mode != "dense":
                    words.append(shelved.words.search(query.text, depth, allowed))
        return [passage for _, passage in self._passages(tenant, query, _joined(dense, depth), _joined(words, depth))]

    def _passages(
        self, tenant: Tenant, query: Query, dense: list[tuple[int, float]], words: list[tuple[int, float]]
    ) -> list[tuple[int, Passage]]:
        match query.mode:
            case "dense":
                ranked = dense
            case "bm25":
                ranked = words
            case "hybrid":
                ranked = blend(dense, words, len(terms(query.text)), self._share)
        wanted = len(ranked) if query.diversity else query.top_k
        out = list(itertools.islice(_folded(tenant, ranked, wanted), wanted))
        return self._spread(tenant, query, out) if query.diversity else out

    def _spread(self, tenant: Tenant, query: Query, found: list[tuple[int, Passage]]) -> list[tuple[int, Passage]]:
        """The `top_k` by maximal marginal relevance; scores stay what they are, so that they no longer fall along the list."""
        vectors = passages.vectors(tenant, [number for number, _ in found])
        kept = [(number, passage) for number, passage in found if number in vectors]
        rows = np.stack([vectors[number] for number, _ in kept]) if kept else np.zeros((0, 1), dtype=np.float32)
        return [kept[place] for place in spread([passage.score for _, passage in kept], rows, query.top_k, query.diversity)]


def _folded(tenant: Tenant, ranked: Sequence[tuple[int, float]], wanted: int) -> Iterator[tuple[int, Passage]]:
    """What is still stored of `ranked`, near-duplicates left out. Read in blocks of about `wanted`: most of what both rankings give is never shown."""
    folder = Folder()
    for start in range(0, len(ranked), wanted + SPARE):
        block = ranked[start : start + wanted + SPARE]
        found = passages.read(tenant, [number for number, _ in block])
        for number, score in block:
            passage = found.get(number)
            if passage is not None and folder.is_new(passage.text):
                yield number, passage.model_copy(update={"score": round(min(1.0, max(0.0, score)), 6)})


def _joined(parts: Sequence[tuple[Numbers, Scores]], depth: int) -> list[tuple[int, float]]:
    """The rankings of several stores as one, by score."""
    pairs = [(int(n), float(s)) for numbers, scores in parts for n, s in zip(numbers, scores, strict=True)]
    return sorted(pairs, key=lambda pair: -pair[1])[:depth]
