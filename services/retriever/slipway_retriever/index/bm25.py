"""BM25 over term hashes, in segments that are added and merged like a log-structured tree: new passages cost their own size, not the index's.

Formula: Robertson and Zaragoza 2009, k1 = 1.2, b = 0.75, with Lucene's idf. It knows 32-bit hashes of terms, never the words; two of 200,000 words share
a hash about five times, which moves no ranking. It refuses to know text and tenants.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from slipway_shared.terms import terms

from slipway_retriever.index.index import Numbers, Scores

K1 = 1.2
B = 0.75
MAX_SEGMENTS = 8

Hashes = NDArray[np.uint32]


@lru_cache(maxsize=1 << 17)
def _hash(term: str) -> int:
    return int.from_bytes(hashlib.blake2b(term.encode("utf-8", "replace"), digest_size=4).digest(), "little")


@dataclass(frozen=True, slots=True)
class _Segment:
    """Postings sorted by term: for term i, rows[offsets[i]:offsets[i+1]] are the passages that hold it. Rows point into numbers and lengths."""

    numbers: Numbers
    lengths: NDArray[np.float32]
    vocabulary: Hashes
    offsets: NDArray[np.int64]
    rows: NDArray[np.int32]
    counts: NDArray[np.float32]

    def postings(self, term: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        at = int(np.searchsorted(self.vocabulary, np.uint32(term)))
        if at == len(self.vocabulary) or self.vocabulary[at] != term:
            return self.rows[:0], self.counts[:0]
        return self.rows[self.offsets[at] : self.offsets[at + 1]], self.counts[self.offsets[at] : self.offsets[at + 1]]


class Bm25Index:
    """Words to passages. Calls come one at a time."""

    def __init__(self) -> None:
        self._segments: list[_Segment] = []

    def __len__(self) -> int:
        return sum(len(segment.numbers) for segment in self._segments)

    @property
    def segments(self) -> int:
        """How many parts a search reads."""
        return len(self._segments)

    def add(self, numbers: Numbers, texts: Sequence[str]) -> None:
        """Take in passages under numbers that are not in yet."""
        if len(texts):
            self._segments.append(_segment(numbers, texts))
        while len(self._segments) > MAX_SEGMENTS:
            # The two smallest: every passage is merged about log(n) times in all.
            self._segments.sort(key=lambda segment: -len(segment.numbers))
            second, first = self._segments.pop(), self._segments.pop()
            self._segments.append(_merged([first, second]))

    def remove(self, numbers: Numbers) -> None:
        """Drop passages; their postings are gone, not masked."""
        kept = (_without(segment, numbers) for segment in self._segments)
        self._segments = [segment for segment in kept if len(segment.numbers)]

    def search(self, query: str, k: int, allowed: Numbers | None = None) -> tuple[Numbers, Scores]:
        """The `k` best passages that hold a term of `query`, best first; scores are shares of the highest that the query could reach, in [0, 1]."""
        wanted = {_hash(term): weight for term, weight in Counter(terms(query)[:1024]).items()}
        total = len(self)
        if not wanted or not total:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        mean = sum(float(segment.lengths.sum()) for segment in self._segments) / total
        found = {term: [segment.postings(term) for segment in self._segments] for term in wanted}
        idf = {term: _idf(total, sum(len(rows) for rows, _ in lists)) for term, lists in found.items()}
        highest = sum(weight * idf[term] * (K1 + 1) for term, weight in wanted.items())
        parts: list[tuple[Numbers, Scores]] = []
        for i, segment in enumerate(self._segments):
            scores = np.zeros(len(segment.numbers), dtype=np.float32)
            damping = K1 * (1 - B + B * segment.lengths / max(mean, 1e-9))
            for term, weight in wanted.items():
                rows, counts = found[term][i]
                scores[rows] += np.float32(weight * idf[term] * (K1 + 1)) * counts / (counts + damping[rows])
            parts.append(_best(segment.numbers, scores, k, allowed))
        numbers, scores = np.concatenate([n for n, _ in parts]), np.concatenate([s for _, s in parts])
        order = np.lexsort((numbers, -scores))[:k]
        return numbers[order], scores[order] / np.float32(highest)


def _idf(total: int, held: int) -> float:
    return float(np.log(1 + (total - held + 0.5) / (held + 0.5)))


def _best(numbers: Numbers, scores: Scores, k: int, allowed: Numbers | None) -> tuple[Numbers, Scores]:
    if allowed is not None:
        scores = np.where(np.isin(numbers, allowed), scores, 0)
    rows = np.argpartition(-scores, k)[:k] if len(scores) > k else np.arange(len(scores))
    rows = rows[scores[rows] > 0]
    return numbers[rows], scores[rows]


def _segment(numbers: Numbers, texts: Sequence[str]) -> _Segment:
    counted = [Counter(map(_hash, terms(text))) for text in texts]
    sizes = np.fromiter((len(c) for c in counted), np.int64, len(counted))
    hashes = np.fromiter((term for c in counted for term in c), np.uint32, int(sizes.sum()))
    counts = np.fromiter((n for c in counted for n in c.values()), np.float32, len(hashes))
    lengths = np.fromiter((sum(c.values()) for c in counted), np.float32, len(counted))
    return _sorted(numbers.astype(np.int64), lengths, hashes, np.repeat(np.arange(len(counted), dtype=np.int32), sizes), counts)


def _sorted(
    numbers: Numbers, lengths: NDArray[np.float32], hashes: Hashes, rows: NDArray[np.int32], counts: NDArray[np.float32]
) -> _Segment:
    order = np.argsort(hashes, kind="stable")
    vocabulary, starts = np.unique(hashes[order], return_index=True)
    offsets = np.append(starts, len(hashes)).astype(np.int64)
    return _Segment(numbers, lengths, vocabulary, offsets, rows[order], counts[order])


def _flat(segment: _Segment) -> Hashes:
    return np.repeat(segment.vocabulary, np.diff(segment.offsets))


def _merged(segments: Sequence[_Segment]) -> _Segment:
    shifts = np.cumsum([0, *(len(segment.numbers) for segment in segments)])
    return _sorted(
        np.concatenate([segment.numbers for segment in segments]),
        np.concatenate([segment.lengths for segment in segments]),
        np.concatenate([_flat(segment) for segment in segments]),
        np.concatenate([segment.rows + np.int32(shift) for segment, shift in zip(segments, shifts, strict=False)]),
        np.concatenate([segment.counts for segment in segments]),
    )


def _without(segment: _Segment, numbers: Numbers) -> _Segment:
    kept = ~np.isin(segment.numbers, numbers)
    if kept.all():
        return segment
    renumbered = (np.cumsum(kept) - 1).astype(np.int32)
    postings = kept[segment.rows]
    return _sorted(
        segment.numbers[kept], segment.lengths[kept], _flat(segment)[postings], renumbered[segment.rows[postings]], segment.counts[postings]
    )
