"""The rankings that are compared: dense, BM25, hybrid, and each of them reranked. Built from the parts that the service itself searches with."""

import hashlib
import json
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from slipway_shared.terms import terms

from slipway_retriever.embed.embedder import Embedder
from slipway_retriever.evaluate.beir import Doc, TestSet
from slipway_retriever.index.bm25 import Bm25Index
from slipway_retriever.index.exact import ExactIndex
from slipway_retriever.index.fusion import Share, blend, fuse, share_for
from slipway_retriever.passage import Piece

DEPTH = 100
BATCH = 16

Rank = Callable[[str], list[int]]
"""A query to row numbers of the corpus, best first."""


@dataclass(frozen=True, slots=True)
class Searched:
    """One query's rankings with their scores, best first, and its vector."""

    dense: list[tuple[int, float]]
    words: list[tuple[int, float]]
    vector: NDArray[np.float32]
    terms: int
    share: Share

    @property
    def blended(self) -> list[tuple[int, float]]:
        """The hybrid ranking, as the service makes it."""
        return blend(self.dense, self.words, self.terms, self.share)


class Corpus:
    """One test set's documents, indexed once. A document is one passage: what the model does not read of it is lost to dense search."""

    def __init__(self, test: TestSet, embedder: Embedder, cache: Path) -> None:
        self.test = test
        self._embedder = embedder
        self._share = share_for(embedder.name)
        self._vectors = ExactIndex(embedder.dimensions)
        self._words = Bm25Index()
        texts = [_indexed(doc) for doc in test.corpus]
        numbers = np.arange(len(texts), dtype=np.int64)
        self._rows = self._embedded(texts, cache)
        self._vectors.add(numbers, self._rows)
        self._words.add(numbers, texts)

    def dense(self, query: str) -> list[int]:
        return [number for number, _ in self._by_vector(self._vector(query))]

    def bm25(self, query: str) -> list[int]:
        return [number for number, _ in self._by_words(query)]

    def hybrid(self, query: str) -> list[int]:
        return [number for number, _ in self.scored(query).blended][:DEPTH]

    def hybrid_by_rank(self, query: str) -> list[int]:
        return [number for number, _ in fuse([self.dense(query), self.bm25(query)])][:DEPTH]

    def scored(self, query: str) -> Searched:
        """Both searches at once."""
        vector = self._vector(query)
        return Searched(self._by_vector(vector), self._by_words(query), vector, len(terms(query)), self._share)

    def cosines(self, vector: NDArray[np.float32], numbers: Sequence[int]) -> NDArray[np.float32]:
        """The likeness of `numbers` to a query's vector, also of those that the search did not return."""
        return self._rows[list(numbers)] @ vector

    def _vector(self, query: str) -> NDArray[np.float32]:
        return self._embedder.embed(self._embedder.tokenize([self._embedder.query_prefix + query]))[0]

    def _by_vector(self, vector: NDArray[np.float32]) -> list[tuple[int, float]]:
        numbers, scores = self._vectors.search(vector, DEPTH)
        return list(zip(numbers.tolist(), scores.tolist(), strict=True))

    def _by_words(self, query: str) -> list[tuple[int, float]]:
        numbers, scores = self._words.search(query, DEPTH)
        return list(zip(numbers.tolist(), scores.tolist(), strict=True))

    def text(self, number: int) -> str:
        """What a reranker reads of a passage."""
        return _indexed(self.test.corpus[number])

    def _embedded(self, texts: Sequence[str], cache: Path) -> NDArray[np.float32]:
        # By the texts too: a set that was made anew may have the same name and size.
        told = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12]
        path = cache / f"{self.test.name}-{told}-{self._embedder.digest}.npy"
        if path.is_file():
            return np.load(path, allow_pickle=False)
        rows = self._embedder.tokenize(texts)
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        out = np.zeros((len(rows), self._embedder.dimensions), dtype=np.float32)
        for start in range(0, len(order), BATCH):
            some = order[start : start + BATCH]
            out[some] = self._embedder.embed([rows[i] for i in some])
        cache.mkdir(parents=True, exist_ok=True)
        np.save(path, out)
        return out


class Reranker:
    """A running reranker service, reached by its address."""

    def __init__(self, address: str, depth: int = 20) -> None:
        self._address = address.rstrip("/")
        self.depth = depth

    def order(self, query: str, texts: Sequence[str], scores: Sequence[float]) -> tuple[list[int], float]:
        """The places of `texts`, best first, and the evidence that they hold an answer. `scores` are the first stage's."""
        body = {"query": query[:16384], "documents": [text[:65536] for text in texts], "scores": [min(1.0, max(0.0, s)) for s in scores]}
        raw, kind = json.dumps(body).encode(), {"content-type": "application/json"}
        request = urllib.request.Request(f"{self._address}/v1/rerank", data=raw, headers=kind)  # noqa: S310
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 the address is the operator's own
            scored = json.load(answer)
        return [result["index"] for result in scored["results"]], scored["evidence"]

    def over(self, corpus: Corpus) -> Rank:
        """Hybrid search with its first `depth` results put into the reranker's order."""

        def reranked(query: str) -> list[int]:
            found = corpus.scored(query).blended[:DEPTH]
            head = found[: self.depth]
            places, _ = self.order(query, [corpus.text(number) for number, _ in head], [score for _, score in head]) if head else ([], 0.0)
            return [head[place][0] for place in places] + [number for number, _ in found[self.depth :]]

        return reranked


def _indexed(doc: Doc) -> str:
    return Piece(doc.title, doc.text, 0, len(doc.text)).indexed
