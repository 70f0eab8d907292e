"""Recall, nDCG and MRR of a ranking, and intervals by bootstrap over queries. It refuses to know what made the ranking."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its 95 % bootstrap interval over queries."""

    mean: float
    low: float
    high: float


def ndcg(ranking: Sequence[str], relevant: Mapping[str, int], k: int = 10) -> float:
    """Normalised discounted cumulative gain at `k` (Jaervelin and Kekaelaeinen 2002), linear gains as in trec_eval."""
    gained = sum(relevant.get(doc, 0) / math.log2(rank + 1) for rank, doc in enumerate(ranking[:k], start=1))
    best = sum(grade / math.log2(rank + 1) for rank, grade in enumerate(sorted(relevant.values(), reverse=True)[:k], start=1))
    return gained / best if best else 0.0


def recall(ranking: Sequence[str], relevant: Mapping[str, int], k: int) -> float:
    """The share of relevant documents among the first `k`."""
    return len(set(ranking[:k]) & set(relevant)) / len(relevant) if relevant else 0.0


def mrr(ranking: Sequence[str], relevant: Mapping[str, int], k: int = 10) -> float:
    """One over the rank of the first relevant document among the first `k`; 0 without one."""
    return next((1 / rank for rank, doc in enumerate(ranking[:k], start=1) if doc in relevant), 0.0)


def interval(values: Sequence[float], seed: int = 5) -> Interval:
    """Mean and percentile bootstrap."""
    array = np.asarray(values, dtype=np.float64)
    means = array[np.random.default_rng(seed).integers(0, len(array), (RESAMPLES, len(array)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(array.mean()), float(low), float(high))


def expected_calibration_error(probabilities: Sequence[float], truths: Sequence[bool], bins: int = 10) -> float:
    """Mean distance between what was promised and what came true, over bins of equal width, weighted by their size (Guo et al. 2017)."""
    p, t = np.asarray(probabilities), np.asarray(truths, dtype=np.float64)
    places = np.minimum((p * bins).astype(int), bins - 1)
    return float(sum(abs(p[places == b].mean() - t[places == b].mean()) * (places == b).mean() for b in range(bins) if (places == b).any()))
