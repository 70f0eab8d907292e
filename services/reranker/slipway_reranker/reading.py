"""Fits a cross-encoder's blend: the scale of relevance, the evidence, and when the first passages are enough.

It knows lists and the scorer's signals. It refuses to know how lists were found.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from slipway_reranker.blend import Blend, evidence_signals, relevance_signals
from slipway_reranker.cross_encoder import FIRST, CrossEncoder, first_order
from slipway_reranker.evidence import Calibration, Signals
from slipway_reranker.fitting import Matrix, auc, calibration_error, logistic
from slipway_reranker.overlap import compare
from slipway_reranker.settings import RerankerSettings

if TYPE_CHECKING:
    from slipway_reranker.calibrate import Listed, Rows

OBVIOUS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
WEIGHTS = (1.0, 2.0, 0.0, 4.0, 0.0)
"""For RELEVANCE_SIGNALS, chosen on a coarse grid over four development sets (docs/retrieval.md); squad and exercises lose a point to retrieval's own order. Fits of a
listwise softmax and of nDCG itself on two thirds of the questions gave up the set with the best order for the others, and did not hold on the last third."""
LOSS = 0.001
"""nDCG@10 that reading less may cost: a tenth of a point."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A list as the scorer sees it: RELEVANCE_SIGNALS [passages, signals], the words' signals, and the order in which passages are read."""

    row: "Listed"
    signals: Matrix
    words: Signals | None
    order: tuple[int, ...]

    def ndcg(self, scores: Matrix) -> float:
        """nDCG@10 of the list in the order of `scores`."""
        gains = [
            1 / math.log2(rank + 2) for rank, place in enumerate(np.argsort(-scores, kind="stable")[:10]) if place in self.row.relevant
        ]
        return sum(gains) / sum(1 / math.log2(rank + 2) for rank in range(min(10, len(self.row.relevant))))


def fit(folder: Path, lists: "Sequence[Listed]") -> "tuple[Blend, Rows, str]":
    """Fit the folder's blend, write its calibration.json and digests.json, and tell the held-out figures."""
    from slipway_reranker.calibrate import fit as fit_evidence
    from slipway_reranker.calibrate import rows_of

    seen = look(CrossEncoder.load(str(folder), RerankerSettings()), lists)
    fitted = [one for one in seen if not one.row.held_out]
    relevance = fit_relevance(fitted)
    odds = [one.signals @ np.array(relevance.weights) + relevance.bias for one in seen]
    rows = rows_of([one.row for one in seen], [evidence_signals(o.tolist(), one.words) for o, one in zip(odds, seen, strict=True)])
    obvious = enough([one for one in fitted if one.row.relevant], relevance)
    blend = Blend(relevance, fit_evidence(rows), obvious)
    blend.write(folder / "calibration.json")
    seal(folder)
    return blend, rows, told(seen, odds, blend)


def look(scorer: CrossEncoder, lists: "Sequence[Listed]") -> list[Seen]:
    """Read every pair once."""
    known: dict[tuple[str, str], float] = {}
    out: list[Seen] = []
    for row in tqdm(lists, "reading", unit="lists"):
        new = [place for place, text in enumerate(row.documents) if (row.query, text) not in known]
        if new:
            known |= {
                (row.query, row.documents[place]): logit for place, logit in scorer.read(row.query, row.documents, new).logits.items()
            }
        matches, words = compare(row.query, row.documents)
        signals = [relevance_signals(known[row.query, text], place, matches[place]) for place, text in enumerate(row.documents)]
        out.append(Seen(row, np.array(signals), words, tuple(first_order(matches))))
    return out


def fit_relevance(seen: Sequence[Seen]) -> Calibration:
    """WEIGHTS, and their scale (Platt 1999) over all passages."""
    weights = np.array(WEIGHTS)
    scores = np.concatenate([one.signals @ weights for one in seen])
    truths = np.concatenate([np.isin(np.arange(len(one.signals)), one.row.relevant) for one in seen])
    scale = logistic(scores[:, None], truths, np.ones(len(scores)))
    return Calibration(scale.bias, tuple(round(float(scale.weights[0] * weight), 4) for weight in weights))


def enough(seen: Sequence[Seen], relevance: Calibration) -> float:
    """The least chance of the best among the FIRST from which the others need not be read, at a loss of LOSS."""
    full = np.mean([one.ndcg(_odds(one, relevance)) for one in seen])
    return next(least for least in OBVIOUS if np.mean([one.ndcg(_early(one, relevance, least)) for one in seen]) >= full - LOSS)


def told(seen: Sequence[Seen], odds: Sequence[Matrix], blend: Blend) -> str:
    """nDCG@10 within the held-out lists that hold an answer: as given, by the logit, by the blend, and with the early exit; and how good relevance is as a chance."""
    lines = ["| set | lists | as given | logit alone | blend | early exit | lists that end early |", "|" + "---|" * 7]
    held = [one for one in seen if one.row.held_out and one.row.relevant]
    for name in [*sorted({one.row.set for one in held}), "all"]:
        some = [one for one in held if name in (one.row.set, "all")]
        ways = [
            np.mean([one.ndcg(-np.arange(len(one.signals), dtype=float)) for one in some]),
            np.mean([one.ndcg(one.signals[:, 0]) for one in some]),
            np.mean([one.ndcg(_odds(one, blend.relevance)) for one in some]),
            np.mean([one.ndcg(_early(one, blend.relevance, blend.obvious)) for one in some]),
        ]
        early = np.mean([_ends(one, blend.relevance, blend.obvious) for one in some])
        lines.append(f"| {name} | {len(some)} | {' | '.join(f'{100 * value:.1f}' for value in ways)} | {100 * early:.0f} % |")
    chosen = [i for i, one in enumerate(seen) if one.row.held_out]
    values = 1 / (1 + np.exp(-np.concatenate([odds[i] for i in chosen])))
    truths = np.concatenate([np.isin(np.arange(len(odds[i])), seen[i].row.relevant) for i in chosen])
    return "\n".join(
        [
            *lines,
            "",
            f"relevance as a chance: AUC {auc(values, truths):.3f}, ECE {calibration_error(values, truths):.3f}; obvious at {blend.obvious}",
        ]
    )


def seal(folder: Path) -> None:
    """Write the digests of what the service reads."""
    found = [name for name in ("model.onnx", "tokenizer.json", "calibration.json") if (folder / name).is_file()]
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in found}
    (folder / "digests.json").write_text(json.dumps({"files": digests}, indent=1) + "\n", encoding="utf-8")


def _odds(one: Seen, relevance: Calibration) -> Matrix:
    return one.signals @ np.array(relevance.weights) + relevance.bias


def _ends(one: Seen, relevance: Calibration, least: float) -> bool:
    best = max(_odds(one, relevance)[list(one.order[:FIRST])])
    return len(one.order) > FIRST and 1 / (1 + math.exp(-best)) >= least


def _early(one: Seen, relevance: Calibration, least: float) -> Matrix:
    odds = _odds(one, relevance)
    if _ends(one, relevance, least):
        floor = min(odds[list(one.order[:FIRST])])
        for rank, place in enumerate(one.order[FIRST:], start=FIRST):
            odds[place] = floor - 1 - rank / len(one.order)
    return odds
