"""Near-duplicate passages folded: the better ranked one stays. It knows word shingles; it refuses to know scores and vectors."""

from dataclasses import dataclass
from functools import cached_property

from slipway_shared.terms import words

SHINGLE = 3
SAME = 0.85
"""Jaccard likeness of word triples from which two passages say the same: one changed word in about forty still counts."""
SUSPECT = 0.5
"""Jaccard likeness of what stands between blanks from which triples are compared at all. Passages that share 85 % of their triples share far more than half of their
words, and most passages of an answer do not: cutting all of them into triples took three fifths of a search."""
FEW = 12
"""Words up to which every two passages are compared: of so few, other punctuation alone changes many; and text without blanks is one."""


class Folder:
    """Remembers the passages of one answer."""

    def __init__(self) -> None:
        self._seen: list[_Known] = []

    def is_new(self, text: str) -> bool:
        """Whether no earlier text says the same; if so, it is remembered."""
        one = _Known(text)
        if any(one.may_be(other) and _alike(one.shingles, other.shingles) for other in self._seen):
            return False
        self._seen.append(one)
        return True


@dataclass
class _Known:
    """A passage, cut into triples when another one is like it."""

    text: str

    @cached_property
    def rough(self) -> frozenset[str]:
        return frozenset(self.text.lower().split())

    @cached_property
    def shingles(self) -> frozenset[tuple[str, ...]]:
        return _shingles(self.text)

    def may_be(self, other: "_Known") -> bool:
        a, b = self.rough, other.rough
        if min(len(a), len(b)) <= FEW:
            return True
        shared = len(a & b)
        return shared >= SUSPECT * (len(a) + len(b) - shared)


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
