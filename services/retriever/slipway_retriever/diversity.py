"""Maximal marginal relevance (Carbonell and Goldstein 1998): each next passage is worth what it is relevant, less what it is like those already taken.

It knows scores and vectors. It refuses to know text and where either came from.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def spread(scores: Sequence[float], vectors: NDArray[np.float32], count: int, diversity: float) -> list[int]:
    """The places of `count` passages, in the order taken.

    `scores` in [0, 1]; `vectors` [passages, dimensions] of length 1; `diversity` in [0, 1]: 0 keeps the order of the scores, 1 looks at unlikeness alone. Scores
    are stretched to [0, 1] over the list, so that they weigh as much as cosines do.
    """
    if not len(scores):
        return []
    relevance = np.asarray(scores, dtype=np.float64)
    width = relevance.max() - relevance.min()
    relevance = (relevance - relevance.min()) / width if width > 0 else np.ones_like(relevance)
    taken: list[int] = []
    likest = np.zeros(len(relevance))
    open_ = np.ones(len(relevance), dtype=bool)
    while len(taken) < min(count, len(relevance)):
        worth = (1 - diversity) * relevance - diversity * likest
        best = int(np.argmax(np.where(open_, worth, -np.inf)))
        taken.append(best)
        open_[best] = False
        likest = np.maximum(likest, vectors @ vectors[best])
    return taken
