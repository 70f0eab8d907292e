"""Two rankings into one: by their scores, weighed by how clearly the words single out a passage; or by their ranks alone.

It refuses to know what was ranked.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

RANK_CONSTANT = 60
"""Of Cormack, Clarke and Buettcher 2009: how slowly a rank's worth falls."""
GAP_PLACE = 4
LONG_QUERY = 10
"""Content words from which on a query counts as long."""

Ranked = Sequence[tuple[int, float]]
"""(item, score) best first; scores in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Share:
    """How much the vectors' score counts beside the words', as log odds: `bias`, and for each unit of what is seen of the query.

    `gap`: how far BM25's first passage stands above its fifth; where it does, the query holds words that name one passage. `best`: the highest cosine; where
    nothing is near, meaning was not understood. `length`: content words, 0 to 1; of many words some are always held.
    """

    bias: float
    gap: float
    best: float = 0.0
    length: float = 0.0

    def of(self, dense: Ranked, words: Ranked, terms: int) -> float:
        """In (0, 1); 1 where no passage holds a word of the query."""
        if not words:
            return 1.0
        gap = words[0][1] - (words[GAP_PLACE][1] if len(words) > GAP_PLACE else 0.0)
        best = dense[0][1] if dense else 0.0
        odds = self.bias + self.gap * gap + self.best * best + self.length * min(1.0, terms / LONG_QUERY)
        return 1 / (1 + math.exp(-odds))


MINILM = Share(-2.4, -4.4, 7.8, -2.2)
"""Fitted listwise on training questions alone (docs/retrieval.md), for the cosines of all-MiniLM-L6-v2."""
ANY = Share(1.5, -6.0)
"""For embedders whose cosines nobody has looked at: without a gap the vectors' share is 0.82, with a gap of 0.25 both count the same."""


def share_for(embedder: str) -> Share:
    """By the embedder's public name."""
    return MINILM if "all-minilm-l6-v2" in embedder.lower() else ANY


def blend(dense: Ranked, words: Ranked, terms: int = 0, share: Share = ANY) -> list[tuple[int, float]]:
    """A weighted sum of cosine and BM25 share (convex combination, Bruch et al. 2023), best first, in [0, 1].

    The weight is the query's own: see Share. `terms` counts the query's content words. An item that the vectors did not return gets their lowest score.
    """
    weight = share.of(dense, words, terms)
    lowest = min((score for _, score in dense), default=0.0)
    by_vector, by_words = dict(dense), dict(words)
    order = dict.fromkeys([*by_vector, *by_words])
    scores = {item: weight * by_vector.get(item, lowest) + (1 - weight) * by_words.get(item, 0.0) for item in order}
    return sorted(scores.items(), key=lambda pair: -pair[1])


def fuse(
    rankings: Sequence[Sequence[int]], weights: Sequence[float] | None = None, constant: float = RANK_CONSTANT
) -> list[tuple[int, float]]:
    """Reciprocal rank fusion: (item, score), best first; a score is the share of what the first place in every ranking would give. Equal scores keep
    the order of first appearance. It needs no scores, but it throws away how sure each ranking is: beside `blend` it is kept for comparison."""
    shares = list(weights) if weights is not None else [1.0] * len(rankings)
    best = sum(shares) / (constant + 1)
    scores: dict[int, float] = {}
    for ranking, share in zip(rankings, shares, strict=True):
        for rank, item in enumerate(ranking, start=1):
            scores[item] = scores.get(item, 0.0) + share / (constant + rank)
    return sorted(((item, score / best) for item, score in scores.items()), key=lambda pair: -pair[1])
