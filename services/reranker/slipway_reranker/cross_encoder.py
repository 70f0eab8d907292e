"""A cross-encoder as a scorer: which passages are read, in which order, and what becomes of their logits.

It knows signals, stages and the blend. It refuses to know tokens and graphs (pairs.py) and how the weights came to be (training/recipes/reranker tells).
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from slipway_reranker.blend import PLACE_DECAY, Blend, evidence_signals, expected_signals, relevance_signals
from slipway_reranker.evidence import Signals
from slipway_reranker.neighbours import lifted, neighbours
from slipway_reranker.overlap import Compared, Match, compare
from slipway_reranker.pairs import PairReader, Read
from slipway_reranker.prose import ByKind
from slipway_reranker.scorer import Scored, Scorer

STAGES = (5, 10)
"""After so many passages it is decided whether the others have to be read."""
CALIBRATION, PROSE_CALIBRATION = "calibration.json", "calibration-prose.json"


def open_reader(folder: Path, reader: PairReader) -> Scorer:
    """`reader`, which verified the folder, with the folder's calibrations; raises ScorerMissing with file and cause."""
    usual = CrossEncoder(folder.name, reader, _blend(folder / CALIBRATION))
    longer = reader.for_prose()
    return usual if longer is None else ByKind(CrossEncoder(folder.name, longer, _blend(folder / PROSE_CALIBRATION)), usual)


class CrossEncoder:
    """A PairReader with a blend of its logits and what else is known.

    The most promising passages are read first. When the best of them is so far above what is expected of the others that hardly any will pass it (see Enough; the
    calibration chose the distance for a small loss of order), the others are not read: order and evidence take what is expected of them. Last, passages are lifted
    towards what their neighbours have (see neighbours.py), the unread ones too.
    """

    def __init__(self, name: str, reader: PairReader, blend: Blend) -> None:
        self.name = name
        self._reader = reader
        self._blend = blend

    def score(self, query: str, documents: Sequence[str], scores: Sequence[float] | None = None) -> Scored:
        """Relevance and evidence by the blend; see the class for what is not read."""
        found = compare(query, documents)
        order = first_order(found.matches)
        enough = self._blend.enough if scores is None else self._blend.scored_enough
        expected = [enough.expected.logit(expected_signals(match, place, scores)) for place, match in enumerate(found.matches)]
        odds: dict[int, float] = {}
        truncated: list[int] = []
        for start, end in stages(len(order)):
            seen = self._reader.read(query, documents, order[start:end], found.weight)
            odds |= self._odds(seen, scores)
            truncated += seen.truncated
            if ahead(max(odds.values()), [expected[place] for place in order[end:]]) >= enough.lead:
                break
        known = [odds.get(place, expected[place]) for place in range(len(order))]
        final = lifted(np.array(known), neighbours(found.texts), self._blend.lift) if self._blend.lift else known
        return Scored(tuple(map(chance, final)), self._evidence(known, found.words), tuple(sorted(truncated)))

    def warm(self, seconds: float) -> None:
        """See Scorer."""
        self._reader.warm(sorted({end - start for start, end in stages(20)}), seconds)

    def read(self, query: str, documents: Sequence[str], places: Sequence[int], found: Compared) -> Read:
        """The logits of `places`, all of them read: what a calibration is fitted on."""
        return self._reader.read(query, documents, places, found.weight)

    def _odds(self, seen: Read, scores: Sequence[float] | None) -> dict[int, float]:
        relevance = self._blend.relevance if scores is None else self._blend.scored
        return {
            place: relevance.logit(relevance_signals(logit, place, None if scores is None else scores[place]))
            for place, logit in seen.logits.items()
        }

    def _evidence(self, odds: Sequence[float], words: Signals | None) -> float:
        return self._blend.evidence.chance(evidence_signals(odds, words))


def _blend(path: Path) -> Blend:
    return Blend.read(path) if path.is_file() else Blend()


def stages(count: int) -> list[tuple[int, int]]:
    """From where to where `count` passages are read, stage by stage."""
    ends = [end for end in STAGES if end < count] + [count]
    return list(zip([0, *ends], ends, strict=False))


def ahead(best: float, others: Sequence[float]) -> float:
    """How far the best that was read lies above what is expected of the others."""
    return best - max(others, default=-math.inf)


def first_order(matches: Sequence[Match]) -> list[int]:
    """Places in the order in which they are read: as retrieval gave them and as words match."""
    return sorted(range(len(matches)), key=lambda place: -(matches[place].relevance + math.exp(-place / PLACE_DECAY)))


def chance(odds: float) -> float:
    """From log odds to a probability."""
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, odds))))
