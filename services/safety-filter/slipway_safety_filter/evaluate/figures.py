"""Measures: recall and precision with intervals, area under the curve, recall at a false-positive rate. It refuses to know what was measured."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """`hits` of `total`, with Wilson's 95 % interval."""

    hits: int
    total: int

    @property
    def value(self) -> float:
        return self.hits / self.total if self.total else math.nan

    def interval(self) -> tuple[float, float]:
        """Lower and upper bound (Wilson 1927)."""
        if not self.total:
            return 0.0, 1.0
        z, n, p = 1.96, self.total, self.value
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return max(0.0, middle - half), min(1.0, middle + half)

    def __str__(self) -> str:
        if not self.total:
            return "-"
        low, high = self.interval()
        return f"{100 * self.value:.1f} % ({100 * low:.1f}-{100 * high:.1f}, n={self.total})"


def area(positives: Sequence[float], negatives: Sequence[float]) -> float:
    """Area under the ROC curve: the chance that a positive outranks a negative, ties counting half."""
    if not positives or not negatives:
        return math.nan
    if any(math.isnan(score) for score in (*positives, *negatives)):
        raise ValueError("a score is no number")
    ordered = sorted([(score, 1) for score in positives] + [(score, 0) for score in negatives])
    wins, below, at = 0.0, 0, 0
    while at < len(ordered):
        end = at
        while end < len(ordered) and ordered[end][0] == ordered[at][0]:
            end += 1
        up = sum(label for _, label in ordered[at:end])
        down = end - at - up
        wins += up * (below + down / 2)
        below += down
        at = end
    return wins / (len(positives) * len(negatives))


def area_interval(positives: Sequence[float], negatives: Sequence[float], samples: int = 200, seed: int = 1) -> tuple[float, float]:
    """95 % interval of the area by the bootstrap (Efron 1979) over texts of both kinds."""
    rng = random.Random(seed)  # noqa: S311 - sampling
    found = sorted(area(rng.choices(positives, k=len(positives)), rng.choices(negatives, k=len(negatives))) for _ in range(samples))
    return found[int(0.025 * samples)], found[int(0.975 * samples)]


def threshold_at(negatives: Sequence[float], rate: float) -> float:
    """The lowest threshold at which at most `rate` of the negatives reach it (score >= threshold)."""
    ordered = sorted(negatives, reverse=True)
    allowed = int(rate * len(ordered))
    return math.nextafter(ordered[allowed], 2.0) if allowed < len(ordered) else 0.0


def share_reaching(scores: Sequence[float], threshold: float) -> Rate:
    """How many of `scores` reach the threshold."""
    return Rate(sum(score >= threshold for score in scores), len(scores))


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of them lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else math.nan


def curve(positives: Sequence[float], negatives: Sequence[float], points: int = 60) -> list[tuple[float, float]]:
    """(false-positive rate, recall) at thresholds spread over the scores that occur."""
    levels = sorted({*positives, *negatives}, reverse=True)
    step = max(1, len(levels) // points)
    out = [(0.0, 0.0)]
    for level in [*levels[::step], 0.0]:
        out.append((share_reaching(negatives, level).value, share_reaching(positives, level).value))
    return out
