"""Two rankings into one: by their scores, weighed by how clearly the words single out a passage; or by their ranks alone.

It refuses to know what was ranked.
"""

import math
from collections.abc import Sequence

RANK_CONSTANT = 60
"""Of Cormack, Clarke and Buettcher 2009: how slowly a rank's worth falls."""
DENSE_BIAS, GAP_SLOPE = 1.5, 6.0
"""Measured on three development sets (docs/retrieval.md). Without a gap the vectors' share is 0.82, with a gap of 0.25 both count the same."""
GAP_PLACE = 4

Ranked = Sequence[tuple[int, float]]
"""(item, score) best first; scores in [0, 1]."""


def blend(dense: Ranked, words: Ranked) -> list[tuple[int, float]]:
    """A weighted sum of cosine and BM25 share (convex combination, Bruch et al. 2023), best first, in [0, 1].

    The weight is the query's own: when BM25's best passage stands far above its fifth, the query holds words that name one passage, and words are
    trusted; when many passages share the query's words, meaning has to decide. An item that the vectors did not return gets their lowest score.
    """
    share = dense_share(words)
    lowest = min((score for _, score in dense), default=0.0)
    by_vector, by_words = dict(dense), dict(words)
    order = dict.fromkeys([*by_vector, *by_words])
    scores = {item: share * by_vector.get(item, lowest) + (1 - share) * by_words.get(item, 0.0) for item in order}
    return sorted(scores.items(), key=lambda pair: -pair[1])


def dense_share(words: Ranked) -> float:
    """How much the vectors' score counts beside the words', in (0, 1)."""
    if not words:
        return 1.0
    gap = words[0][1] - (words[GAP_PLACE][1] if len(words) > GAP_PLACE else 0.0)
    return 1 / (1 + math.exp(GAP_SLOPE * gap - DENSE_BIAS))


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
