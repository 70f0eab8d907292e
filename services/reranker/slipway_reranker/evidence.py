"""From what was seen while scoring to one figure: how likely the passages hold an answer at all.

It knows logistic models over a few signals, with coefficients measured on development questions (docs/retrieval.md). It refuses to know the threshold.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Signals:
    """What the best passage, and all of them together, hold of the query; each figure in [0, 1] except `margin`, which may be below zero."""

    coverage: float
    window: float
    pairs: float
    rarest_held: float
    anywhere: float
    margin: float
    terms: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """A logistic model: chance = 1 / (1 + exp(-(bias + weights . signals)))."""

    bias: float
    weights: tuple[float, ...]

    def logit(self, signals: Sequence[float]) -> float:
        """The log odds."""
        return self.bias + sum(w * x for w, x in zip(self.weights, signals, strict=True))

    def chance(self, signals: Sequence[float]) -> float:
        """The probability, in [0, 1]: of evidence, that a reader finds the answer in the passages; of relevance, that one passage holds it."""
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, self.logit(signals)))))


SIGNAL_NAMES = tuple(field.name for field in fields(Signals))

OVERLAP = Calibration(bias=-1.72, weights=(2.57, 1.1, 2.29, -0.4, -1.55, 2.36, -0.14))
"""Of the overlap scorer, as `python -m slipway_reranker.calibrate` printed it. The signals hang together, so single signs mean little."""
