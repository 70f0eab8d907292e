"""Two rankings into one: reciprocal rank fusion (Cormack, Clarke and Buettcher 2009). It refuses to know what was ranked."""

from collections.abc import Sequence

RANK_CONSTANT = 60
"""The paper's: how slowly a rank's worth falls."""


def fuse(
    rankings: Sequence[Sequence[int]], weights: Sequence[float] | None = None, constant: float = RANK_CONSTANT
) -> list[tuple[int, float]]:
    """(item, score), best first; a score is the share of what the first place in every ranking would give, in [0, 1]. Equal scores keep the order of
    first appearance."""
    shares = list(weights) if weights is not None else [1.0] * len(rankings)
    best = sum(shares) / (constant + 1)
    scores: dict[int, float] = {}
    for ranking, share in zip(rankings, shares, strict=True):
        for rank, item in enumerate(ranking, start=1):
            scores[item] = scores.get(item, 0.0) + share / (constant + rank)
    return sorted(((item, score / best) for item, score in scores.items()), key=lambda pair: -pair[1])
