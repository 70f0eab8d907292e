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
from slipway_reranker.overlap import Match
from slipway_reranker.scorer import ScorerMissing

PLACE_DECAY = 4.0
"""After how many places of the given order a third of the first place's worth is left."""
NO_LEAD = 100.0
"""Log odds that no passage is ahead by."""
EXPECTED_SIGNALS = ("place", "first", "behind", "coverage", "window", "pairs")
RELEVANCE_SIGNALS = ("logit", "place", "first")
EVIDENCE_SIGNALS = ("best", "lead", "spread", "agreement", "coverage", "window", "pairs", "rarest_held", "anywhere", "terms", "passages")


@dataclass(frozen=True, slots=True)
class Enough:
    """When the passages read are enough: the best of them lies `lead` above the log odds that are `expected` of any other, from what is known without reading it."""

    expected: Calibration = field(default_factory=lambda: Calibration(0.0, (0.0,) * len(EXPECTED_SIGNALS)))
    lead: float = NO_LEAD


@dataclass(frozen=True, slots=True)
class Blend:
    """Coefficients in the order of RELEVANCE_SIGNALS, EXPECTED_SIGNALS and EVIDENCE_SIGNALS. The defaults are the logit alone, and all is read.

    `relevance` and `enough` are for calls without the first stage's scores, `scored` and `scored_enough` for calls with them. `lift` is the share of the distance
    by which a passage is drawn up to its neighbours (neighbours.py), 0 to 1.
    """

    relevance: Calibration = field(default_factory=lambda: _first(len(RELEVANCE_SIGNALS)))
    scored: Calibration = field(default_factory=lambda: _first(len(RELEVANCE_SIGNALS)))
    evidence: Calibration = field(default_factory=lambda: _first(len(EVIDENCE_SIGNALS)))
    enough: Enough = Enough()
    scored_enough: Enough = Enough()
    lift: float = 0.0

    @classmethod
    def read(cls, path: Path) -> "Blend":
        """From calibration.json; raises ScorerMissing where it has another form."""
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            made = cls(
                _calibration(raw["relevance"]), _calibration(raw["scored"]), _calibration(raw["evidence"]),
                _enough(raw.get("enough")), _enough(raw.get("scored_enough")), float(raw.get("lift", 0.0)),
            )  # fmt: skip
        except (ValueError, KeyError, TypeError) as error:
            raise ScorerMissing(f"{path} is no calibration: {error!r}") from error
        counts = [
            len(one.weights) for one in (made.relevance, made.scored, made.evidence, made.enough.expected, made.scored_enough.expected)
        ]
        if counts != [len(RELEVANCE_SIGNALS)] * 2 + [len(EVIDENCE_SIGNALS)] + [len(EXPECTED_SIGNALS)] * 2:
            raise ScorerMissing(f"{path} has another number of weights than this version's signals; calibrate the folder anew")
        return made

    def write(self, path: Path) -> None:
        """As `read` takes it, with the names of the signals beside their weights for people."""
        named = {"relevance": RELEVANCE_SIGNALS, "scored": RELEVANCE_SIGNALS, "evidence": EVIDENCE_SIGNALS, "expected": EXPECTED_SIGNALS}
        path.write_text(json.dumps(asdict(self) | {"signals": named}, indent=1) + "\n", encoding="utf-8")


def relevance_signals(logit: float, place: int, score: float | None) -> tuple[float, ...]:
    """In the order of RELEVANCE_SIGNALS. `place` is the passage's in the given order, from 0; `score` the first stage's, in [0, 1], None where it was not told."""
    return (logit, math.exp(-place / PLACE_DECAY), score or 0.0)


def expected_signals(match: Match, place: int, scores: Sequence[float] | None) -> tuple[float, ...]:
    """In the order of EXPECTED_SIGNALS: what is known of the passage at `place` before it is read. `scores` are the first stage's, of all passages."""
    first, behind = (0.0, 0.0) if scores is None else (scores[place], scores[place] - max(scores))
    return (math.exp(-place / PLACE_DECAY), first, behind, match.coverage, match.window, match.pairs)


def evidence_signals(odds: Sequence[float], words: Signals | None) -> tuple[float, ...]:
    """In the order of EVIDENCE_SIGNALS, from the passages' relevance as log odds (what is expected of those that were not read), in the given order.

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


def _enough(raw: dict[str, Any] | None) -> Enough:
    """A calibration of an earlier form has none, and then all is read."""
    return Enough() if raw is None else Enough(_calibration(raw["expected"]), float(raw["lead"]))


def _calibration(raw: dict[str, Any]) -> Calibration:
    return Calibration(float(raw["bias"]), tuple(float(weight) for weight in raw["weights"]))
