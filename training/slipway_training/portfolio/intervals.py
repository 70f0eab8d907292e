"""How much a leg differs from the full recipe: paired by seed, with Student's t interval.

It knows numbers by seed. It refuses to know what they measure.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slipway_training.errors import StackMissing


@dataclass(frozen=True, slots=True)
class Gap:
    """The mean difference over `n` pairs and its 95 % interval; not a number at the ends where there is one pair."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def sure(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        return f"{self.mean:+.4f} [{self.low:+.4f}, {self.high:+.4f}]" if self.n > 1 else f"{self.mean:+.4f}"


def paired_gap(first: Mapping[int, float], second: Mapping[int, float]) -> Gap | None:
    """`first - second` over the seeds that both have; None without one. Runs of one seed share the start and the order of rows, so their noise cancels."""
    both = sorted(first.keys() & second.keys())
    return t_interval([first[seed] - second[seed] for seed in both]) if both else None


def t_interval(values: Sequence[float]) -> Gap:
    """Student's t, 95 %, n - 1 degrees of freedom."""
    try:
        from scipy.stats import t
    except ImportError as error:
        raise StackMissing("scipy", "eval") from error
    n = len(values)
    mean = sum(values) / n
    if n == 1:
        return Gap(mean, math.nan, math.nan, 1)
    spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1) / n) * float(t.ppf(0.975, n - 1))
    return Gap(mean, mean - spread, mean + spread, n)
