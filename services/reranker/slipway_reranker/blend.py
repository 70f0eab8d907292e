"""From a cross-encoder's logits to relevance and evidence: logistic models over the logits, the given order, the first stage's scores and the overlap of words.

A small cross-encoder reads meaning, but it misses rare names that words match exactly, and it has not seen what the first stage saw; learned weights keep the
best of each. It knows signals and coefficients. It refuses to know graphs and tokens.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from slipway_reranker.evidence import Calibration, Signals
from slipway_reranker.scorer import ScorerMissing

PLACE_DECAY = 4.0
"""After how many places of the given order a third of the first place's worth is left."""
NO_LEAD = 100.0
"""Log odds that no passage is ahead by."""
RELEVANCE_SIGNALS = ("logit", "place", "first")
EVIDENCE_SIGNALS = ("best", "lead", "spread", "agreement", "coverage", "window", "pairs", "rarest_held", "anywhere", "terms", "passages")


@dataclass(frozen=True, slots=True)
class Blend:
    """Coefficients in the order of RELEVANCE_SIGNALS and EVIDENCE_SIGNALS; `lead`: see CrossEncoder. The defaults are the logit alone, and all is read.

    `relevance` is for calls without the first stage's scores, `scored` for calls with them.
    """

    relevance: Calibration = field(default_factory=lambda: _first(len(RELEVANCE_SIGNALS)))
    scored: Calibration = field(default_factory=lambda: _first(len(RELEVANCE_SIGNALS)))
    evidence: Calibration = field(default_factory=lambda: _first(len(EVIDENCE_SIGNALS)))
    lead: float = NO_LEAD

    @classmethod
    def read(cls, path: Path) -> "Blend":
        """From calibration.json; raises ScorerMissing where it has another form."""
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            made = cls(_calibration(raw["relevance"]), _calibration(raw["scored"]), _calibration(raw["evidence"]), float(raw["lead"]))
        except (ValueError, KeyError, TypeError) as error:
            raise ScorerMissing(f"{path} is no calibration: {error!r}") from error
        if {len(made.relevance.weights), len(made.scored.weights)} != {len(RELEVANCE_SIGNALS)} or len(made.evidence.weights) != len(
            EVIDENCE_SIGNALS
        ):
            raise ScorerMissing(f"{path} has another number of weights than this version's signals; calibrate the folder anew")
        return made

    def write(self, path: Path) -> None:
        """As `read` takes it, with the names of the signals beside their weights for people."""
        named = {"relevance": RELEVANCE_SIGNALS, "scored": RELEVANCE_SIGNALS, "evidence": EVIDENCE_SIGNALS}
        path.write_text(json.dumps(asdict(self) | {"signals": named}, indent=1) + "\n", encoding="utf-8")


def relevance_signals(logit: float, place: int, score: float | None) -> tuple[float, ...]:
    """In the order of RELEVANCE_SIGNALS. `place` is the passage's in the given order, from 0; `score` the first stage's, in [0, 1], None where it was not told."""
    return (logit, math.exp(-place / PLACE_DECAY), score or 0.0)


def evidence_signals(odds: Sequence[float], words: Signals | None) -> tuple[float, ...]:
    """In the order of EVIDENCE_SIGNALS, from the passages' relevance as log odds, in the given order.

    `lead` is the best passage's distance to the second, `spread` to the middle one, both cut at 10; `agreement` is 1 where retrieval had put the reranker's
    best passage first. Without a common content word all figures of words are 0.
    """
    ranked = sorted(odds, reverse=True)
    best = odds.index(ranked[0])
    second, middle = (ranked[1], ranked[len(ranked) // 2]) if len(ranked) > 1 else (ranked[0], ranked[0])
    held = (words.coverage, words.window, words.pairs, words.rarest_held, words.anywhere, words.terms) if words else (0.0,) * 6
    agreement = math.exp(-best / PLACE_DECAY)
    return (
        ranked[0], min(10.0, ranked[0] - second), min(10.0, ranked[0] - middle), agreement, *held, min(1.0, len(odds) / 20),
    )  # fmt: skip


def _first(count: int) -> Calibration:
    return Calibration(0.0, (1.0, *[0.0] * (count - 1)))


def _calibration(raw: dict[str, Any]) -> Calibration:
    return Calibration(float(raw["bias"]), tuple(float(weight) for weight in raw["weights"]))
