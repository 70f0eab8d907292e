"""Exact search over all vectors, by FAISS. It refuses to be clever: below some ten thousand vectors nothing is faster to keep right."""

from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from slipway_retriever.index.index import Numbers, Scores


class ExactIndex:
    """IndexFlatIP under passage numbers."""

    kind = "exact"

    def __init__(self, dimensions: int) -> None:
        self._index = faiss.IndexIDMap2(faiss.IndexFlatIP(dimensions))

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, numbers: Numbers, vectors: NDArray[np.float32]) -> None:
        self._index.add_with_ids(np.ascontiguousarray(vectors, dtype=np.float32), numbers)

    def remove(self, numbers: Numbers) -> None:
        self._index.remove_ids(faiss.IDSelectorBatch(numbers))

    def retain(self, numbers: Numbers) -> None:
        """Nothing to do: what is in memory begins empty."""

    def stored(self) -> tuple[Numbers, NDArray[np.float32]]:
        """Everything that is in: numbers, and vectors in the same order."""
        numbers = faiss.vector_to_array(self._index.id_map)
        vectors = (
            faiss.downcast_index(self._index.index).reconstruct_n(0, len(self)) if len(self) else np.zeros((0, self._index.d), np.float32)
        )
        return numbers, vectors

    def search(self, vector: NDArray[np.float32], k: int, allowed: Numbers | None = None) -> tuple[Numbers, Scores]:
        parameters = None if allowed is None else _among(allowed)
        scores, numbers = self._index.search(vector[None], min(k, max(1, len(self))), params=parameters)
        found = numbers[0] >= 0
        return numbers[0][found], scores[0][found]


def _among(allowed: Numbers) -> Any:
    # FAISS adds the keyword to its C++ class when it is imported, which a type checker cannot see.
    parameters: Any = faiss.SearchParameters
    return parameters(sel=faiss.IDSelectorBatch(allowed))
