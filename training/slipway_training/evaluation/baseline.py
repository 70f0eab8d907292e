"""The extractive baseline: the sentence of the passages that shares most with the question, quoted and cited.

It knows word overlap weighted by rarity among the given passages (as the platform's fallback route does in spirit). It knows no model.
"""

import math
from collections.abc import Sequence

from slipway_shared.grounding import NOT_IN_SOURCES, fence, normalise

from slipway_training.sources.text import sentences

_STOP = frozenset(
    [
        "a",
        "an",
        "the",
        "of",
        "in",
        "on",
        "at",
        "to",
        "for",
        "from",
        "by",
        "with",
        "and",
        "or",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "do",
        "does",
        "did",
        "what",
        "which",
        "who",
        "whom",
        "whose",
        "when",
        "where",
        "why",
        "how",
        "many",
        "much",
        "it",
        "its",
        "that",
        "this",
        "these",
        "those",
        "as",
        "not",
        "no",
        "can",
        "could",
        "may",
        "will",
        "would",
        "should",
        "has",
        "have",
        "had",
        "i",
        "you",
        "he",
        "she",
        "we",
        "they",
        "there",
    ]
)


class Overlap:
    """Answers with the best sentence; abstains when less than `floor` of the question's weight is found in it."""

    def __init__(self, floor: float = 0.0) -> None:
        self._floor = floor

    def answer(self, passages: Sequence[str], question: str) -> str:
        """`sentence [n]`, or the sentence that means that the sources do not hold it."""
        candidates = [(s, number) for number, passage in enumerate(passages, start=1) for s in sentences(fence(passage))]
        wanted = set(normalise(question).split()) - _STOP
        if not candidates or not wanted:
            return NOT_IN_SOURCES
        bags = [set(normalise(s).split()) for s, _ in candidates]
        rarity = {w: math.log(1 + len(bags) / (1 + sum(w in bag for bag in bags))) for w in wanted}
        total = sum(rarity.values())
        scores = [sum(rarity[w] for w in wanted & bag) for bag in bags]
        best = max(range(len(scores)), key=lambda i: (scores[i], -len(bags[i])))
        if total <= 0 or scores[best] / total < self._floor or scores[best] == 0:
            return NOT_IN_SOURCES
        sentence, number = candidates[best]
        return f"{sentence} [{number}]"
