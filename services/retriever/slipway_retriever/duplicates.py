"""Near-duplicate passages folded: the better ranked one stays. It knows word shingles; it refuses to know scores and vectors."""

from slipway_shared.terms import words

SHINGLE = 3
SAME = 0.85
"""Jaccard likeness of word triples from which two passages say the same: one changed word in about forty still counts."""


class Folder:
    """Remembers the passages of one answer."""

    def __init__(self) -> None:
        self._seen: list[frozenset[tuple[str, ...]]] = []

    def is_new(self, text: str) -> bool:
        """Whether no earlier text says the same; if so, it is remembered."""
        shingles = _shingles(text)
        if any(_alike(shingles, known) for known in self._seen):
            return False
        self._seen.append(shingles)
        return True


def _shingles(text: str) -> frozenset[tuple[str, ...]]:
    found = words(text)
    if len(found) < SHINGLE:
        return frozenset({tuple(found)})
    return frozenset(tuple(found[i : i + SHINGLE]) for i in range(len(found) - SHINGLE + 1))


def _alike(a: frozenset[tuple[str, ...]], b: frozenset[tuple[str, ...]]) -> bool:
    small, large = sorted((len(a), len(b)))
    if small < SAME * large:
        return False
    shared = len(a & b)
    return shared >= SAME * (len(a) + len(b) - shared)
