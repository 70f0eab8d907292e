"""Exact while a store is small, inverted lists when it is large: chosen by size, tuned by measured recall, reported in `kind`.

FAISS's IVF and not HNSW: it is built ten times faster (0.8 s against 11 s), and what is deleted leaves it at once, where HNSW can only hide it.
It refuses to lose recall silently: the number of lists that a search reads grows until the sample's neighbours are found.
"""

import math
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from slipway_retriever.index.exact import ExactIndex
from slipway_retriever.index.index import Numbers, Scores

RECALL = 0.985
"""Of the ten nearest, on SAMPLE vectors of the store, each shaken as far as a query lies from its passage."""
SAMPLE = 100
SHAKEN = 1.0
"""Length of the noise: a question lies about as far from its passage (cosine 0.6 to 0.7)."""
NEIGHBOURS = 10
TRAIN_PER_LIST = 40
TRAIN_AT_LEAST = 39  # below, FAISS warns that its centres are guesses


class AdaptiveIndex:
    """`exact_below` vectors are searched one by one; past that, lists. The lists are made anew whenever the store has doubled."""

    def __init__(self, dimensions: int, exact_below: int) -> None:
        self._dimensions = dimensions
        self._exact_below = exact_below
        self._exact: ExactIndex | None = ExactIndex(dimensions)
        self._lists: Any = None
        self._made_at = 0
        self._probes = 0
        self._recall = 1.0

    @property
    def kind(self) -> str:
        """How it searches now, and with which measured recall."""
        if self._exact is not None:
            return "exact"
        return f"ivf: {self._lists.nlist} lists, {self._probes} read, recall@10 {self._recall:.3f}"

    def __len__(self) -> int:
        return len(self._exact) if self._exact is not None else int(self._lists.ntotal)

    def add(self, numbers: Numbers, vectors: NDArray[np.float32]) -> None:
        """Take in vectors; may make the lists anew, which takes about a second for 100,000 vectors."""
        if self._exact is not None:
            self._exact.add(numbers, vectors)
        else:
            self._lists.add_with_ids(np.ascontiguousarray(vectors, dtype=np.float32), numbers)
        if len(self) > max(self._exact_below, 2 * self._made_at):
            self._make_lists()

    def remove(self, numbers: Numbers) -> None:
        """Drop vectors; a store that shrank far below the bound goes back to exact search."""
        if self._exact is not None:
            self._exact.remove(numbers)
            return
        self._lists.remove_ids(faiss.IDSelectorBatch(numbers))
        if len(self) < self._exact_below // 2:
            exact = ExactIndex(self._dimensions)
            exact.add(*self._stored())
            self._exact, self._lists, self._made_at = exact, None, 0

    def retain(self, numbers: Numbers) -> None:
        """Nothing to do: what is in memory begins empty."""

    def search(self, vector: NDArray[np.float32], k: int, allowed: Numbers | None = None) -> tuple[Numbers, Scores]:
        """The `k` nearest. Among few `allowed` ones every list is read: a filter must not cost recall."""
        if self._exact is not None:
            return self._exact.search(vector, k, allowed)
        narrow = allowed is not None and len(allowed) < len(self) // 4
        selector = None if allowed is None else faiss.IDSelectorBatch(allowed)
        numbers, scores = self._nearest(vector[None], min(k, max(1, len(self))), self._lists.nlist if narrow else self._probes, selector)
        found = numbers[0] >= 0
        return numbers[0][found], scores[0][found]

    def _nearest(self, vectors: NDArray[np.float32], k: int, probes: int, selector: object = None) -> tuple[Numbers, Scores]:
        # FAISS adds these keywords to its C++ class when it is imported, which a type checker cannot see.
        parameters: Any = faiss.SearchParametersIVF
        chosen = parameters(nprobe=probes) if selector is None else parameters(nprobe=probes, sel=selector)
        scores, numbers = self._lists.search(vectors, k, params=chosen)
        return numbers, scores

    def _make_lists(self) -> None:
        numbers, vectors = self._stored()
        lists = max(1, min(int(2 * math.sqrt(len(numbers))), len(numbers) // TRAIN_AT_LEAST))
        index: Any = faiss.IndexIVFFlat(faiss.IndexFlatIP(self._dimensions), self._dimensions, lists, faiss.METRIC_INNER_PRODUCT)
        index.own_fields = False
        self._coarse = index.quantizer
        index.cp.niter = 4
        index.cp.seed = 7
        rng = np.random.default_rng(7)
        some = rng.permutation(len(numbers))[: lists * TRAIN_PER_LIST]
        index.train(np.ascontiguousarray(vectors[some]))
        index.add_with_ids(vectors, numbers)
        self._exact, self._lists, self._made_at = None, index, len(numbers)
        self._tune(vectors, rng)

    def _tune(self, vectors: NDArray[np.float32], rng: np.random.Generator) -> None:
        """Read as few lists as find the neighbours that reading all of them finds."""
        queries = vectors[rng.integers(0, len(vectors), SAMPLE)]
        noise = rng.standard_normal(queries.shape).astype(np.float32)
        queries = queries + SHAKEN * noise / np.linalg.norm(noise, axis=1, keepdims=True)
        truth, _ = self._nearest(queries, NEIGHBOURS, self._lists.nlist)
        self._probes = 4
        while True:
            found, _ = self._nearest(queries, NEIGHBOURS, self._probes)
            self._recall = float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found.tolist(), truth.tolist(), strict=True)]))
            if self._recall >= RECALL or self._probes >= self._lists.nlist:
                return
            self._probes = min(self._lists.nlist, math.ceil(self._probes * 1.5))

    def _stored(self) -> tuple[Numbers, NDArray[np.float32]]:
        """Everything that is in, taken back out of FAISS."""
        if self._exact is not None:
            return self._exact.stored()
        parts = [_list(self._lists, i, self._dimensions) for i in range(self._lists.nlist)]
        return np.concatenate([n for n, _ in parts]), np.concatenate([v for _, v in parts])


def _list(index: Any, number: int, dimensions: int) -> tuple[Numbers, NDArray[np.float32]]:
    size = int(index.invlists.list_size(number))
    if not size:
        return np.zeros(0, np.int64), np.zeros((0, dimensions), np.float32)
    numbers = faiss.rev_swig_ptr(index.invlists.get_ids(number), size).copy()
    codes = faiss.rev_swig_ptr(index.invlists.get_codes(number), size * dimensions * 4).copy()
    return numbers, codes.view(np.float32).reshape(size, dimensions)
