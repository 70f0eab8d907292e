"""Fits a cross-encoder's blend: the weights and the scale of relevance, the evidence, and when the first passages are enough.

It knows lists and the scorer's signals. It refuses to know how lists were found.
"""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from slipway_reranker.blend import NO_LEAD, Blend, Enough, evidence_signals, expected_signals, relevance_signals
from slipway_reranker.cross_encoder import CALIBRATION, PROSE_CALIBRATION, CrossEncoder, ahead, first_order, stages
from slipway_reranker.evidence import Calibration, Signals
from slipway_reranker.fitting import Matrix, Truths, auc, balanced, calibration_error, listwise, logistic
from slipway_reranker.neighbours import lifted, neighbours
from slipway_reranker.overlap import compare
from slipway_reranker.pairs import PairReader
from slipway_reranker.prose import is_prose
from slipway_reranker.scorer import ScorerMissing
from slipway_reranker.settings import RerankerSettings

if TYPE_CHECKING:
    from slipway_reranker.calibrate import Listed, Rows

LEADS = (0.5, 1.0, 1.5, 2.0, 2.25, 2.5, 2.75, 3.0, 3.25, 3.5, 3.75, 4.0, 4.5, 5.0, 6.0, NO_LEAD)
LOSS = 0.002
"""nDCG@10 that reading less may cost on the longest lists, where most is left unread: a fifth of a point."""
READ_FILES = ("model.onnx", "tokenizer.json", "reading.json", CALIBRATION, PROSE_CALIBRATION)
Order = Callable[["Seen"], Matrix]


@dataclass(frozen=True, slots=True)
class Seen:
    """A list as the scorer sees it: RELEVANCE_SIGNALS and EXPECTED_SIGNALS [passages, signals], the words' signals, the order in which passages are read, and
    what passages count for each other (neighbours.py)."""

    row: "Listed"
    signals: Matrix
    before: Matrix
    words: Signals | None
    order: tuple[int, ...]
    near: Matrix

    @property
    def truths(self) -> Truths:
        """Whether each passage answers."""
        return np.isin(np.arange(len(self.signals)), self.row.relevant)

    def ndcg(self, scores: Matrix) -> float:
        """nDCG@10 of the list in the order of `scores`."""
        gains = [
            1 / math.log2(rank + 2) for rank, place in enumerate(np.argsort(-scores, kind="stable")[:10]) if place in self.row.relevant
        ]
        return sum(gains) / sum(1 / math.log2(rank + 2) for rank in range(min(10, len(self.row.relevant))))


def fit(folder: Path, lists: "Sequence[Listed]", *, prose: bool = False) -> "tuple[Blend, Rows, str]":
    """Fit the folder's blend, write its calibration.json and digests.json, and tell the figures; with `prose` of how prose is read, on the lists that are prose.

    Relevance is fitted on all lists; what is told of the order is measured on each set with weights fitted on the other sets. Evidence is fitted on two
    thirds of the questions.
    """
    from slipway_reranker.calibrate import fit as fit_evidence
    from slipway_reranker.calibrate import rows_of

    # Without the folder's own calibration, which may be of an earlier form.
    usual = PairReader.load(folder, RerankerSettings())
    reader = usual.for_prose() if prose else usual
    if reader is None:
        raise ScorerMissing(f"{folder / 'reading.json'} has no prose_pair_tokens: prose is read as all else is")
    chosen = [row for row in lists if is_prose(row.query, row.documents)] if prose else lists
    seen = look(CrossEncoder(folder.name, reader, Blend()), chosen)
    scored = all(one.row.scores for one in seen)
    alone = fit_relevance(seen, first=False)
    relevance = fit_relevance(seen, first=True) if scored else alone
    lift = fit_lift(seen, relevance)
    enough = fit_enough(seen, relevance, lift, first=scored)
    # As the service sees them: of what it does not read it knows only what is expected.
    odds = [known(one, relevance, enough) for one in seen]
    rows = rows_of([one.row for one in seen], [evidence_signals(o.tolist(), one.words) for o, one in zip(odds, seen, strict=True)])
    blend = Blend(alone, relevance, fit_evidence(rows), fit_enough(seen, alone, lift, first=False), enough, lift)
    blend.write(folder / (PROSE_CALIBRATION if prose else CALIBRATION))
    seal(folder)
    return blend, rows, told(seen, blend)


def look(scorer: CrossEncoder, lists: "Sequence[Listed]") -> list[Seen]:
    """Read every pair once."""
    known: dict[tuple[str, str], float] = {}
    out: list[Seen] = []
    for row in tqdm(lists, "reading", unit="lists"):
        found = compare(row.query, row.documents)
        new = [place for place, text in enumerate(row.documents) if (row.query, text) not in known]
        if new:
            known |= {
                (row.query, row.documents[place]): logit
                for place, logit in scorer.read(row.query, row.documents, new, found).logits.items()
            }
        signals = [
            relevance_signals(known[row.query, text], place, row.scores[place] if row.scores else None)
            for place, text in enumerate(row.documents)
        ]
        before = [expected_signals(match, place, row.scores or None) for place, match in enumerate(found.matches)]
        out.append(Seen(row, np.array(signals), np.array(before), found.words, tuple(first_order(found.matches)), neighbours(found.texts)))
    return out


def fit_relevance(seen: Sequence[Seen], *, first: bool) -> Calibration:
    """Listwise weights, every set weighing the same, and their scale (Platt 1999) over all passages. `first`: the first stage's scores are looked at."""
    columns = [0, 1, 2] if first else [0, 1]
    right = [one for one in seen if one.row.relevant]
    lists = [(one.signals[:, columns], one.truths) for one in right]
    weights = np.zeros(3)
    weights[columns] = listwise(lists, balanced([one.row.set for one in right]))
    scores = np.concatenate([one.signals @ weights for one in seen])
    truths = np.concatenate([one.truths for one in seen])
    scale = logistic(scores[:, None], truths, np.ones(len(scores)))
    return Calibration(scale.bias, tuple(round(float(scale.weights[0] * weight), 4) for weight in weights))


def fit_lift(seen: Sequence[Seen], relevance: Calibration) -> float:
    """The share by which passages are drawn up to their neighbours, listwise beside the log odds, every set weighing the same."""
    right = [one for one in seen if one.row.relevant]
    lists: list[tuple[Matrix, Truths]] = []
    for one in right:
        odds = _odds(one, relevance)
        lists.append((np.stack([odds, lifted(odds, one.near, 1.0) - odds], axis=1), one.truths))
    weights = listwise(lists, balanced([one.row.set for one in right]))
    return round(float(np.clip(weights[1] / max(weights[0], 1e-9), 0.0, 1.0)), 4)


def fit_enough(seen: Sequence[Seen], relevance: Calibration, lift: float, *, first: bool) -> Enough:
    """What is expected of a passage before it is read (least squares on the log odds that reading it gave, every set weighing the same), and the least distance
    to it at which reading may end, at a loss of LOSS on the longest lists. `first`: as in `fit_relevance`."""
    columns = np.array([True, first, first, True, True, True])
    shares = np.sqrt(np.repeat(balanced([one.row.set for one in seen]), [len(one.before) for one in seen]))
    signals = np.concatenate([one.before[:, columns] for one in seen])
    truths = np.concatenate([_odds(one, relevance) for one in seen])
    fitted = np.linalg.lstsq(np.hstack([np.ones((len(signals), 1)), signals]) * shares[:, None], truths * shares)[0]
    weights = np.zeros(len(columns))
    weights[columns] = fitted[1:]
    expected = Calibration(round(float(fitted[0]), 4), tuple(round(float(value), 4) for value in weights))
    right = [one for one in seen if one.row.relevant]
    longest = max(len(one.order) for one in right)
    judged = [one for one in right if len(one.order) == longest]
    full = np.mean([one.ndcg(lifted(_odds(one, relevance), one.near, lift)) for one in judged])
    leads = ((lead, np.mean([one.ndcg(early(one, relevance, Enough(expected, lead), lift)) for one in judged])) for lead in LEADS)
    least = (lead for lead, reached in leads if reached >= full - LOSS)
    return Enough(expected, next(least, NO_LEAD))


def told(seen: Sequence[Seen], blend: Blend) -> str:
    """nDCG@10 within the lists that hold an answer: as given, by the logit, and by the blend fitted on the other sets; what is read; relevance as a chance, as
    the service gives it: expected where it does not read, neighbours lifted."""
    lines = [
        "| set | lists | as given | logit alone | blend | blend with scores | neighbours lifted | with early exit | passages read |",
        "|" + "---|" * 9,
    ]
    held = [one for one in seen if one.row.relevant]
    names = sorted({one.row.set for one in held})
    found: dict[str, list[list[float]]] = {}
    for name in names:
        others = [one for one in seen if one.row.set != name] or list(seen)
        alone, scored = (fit_relevance(others, first=first) for first in (False, True))
        lift = fit_lift(others, scored)
        enough = fit_enough(others, scored, lift, first=True)
        found[name] = [_ways(one, alone, scored, enough, lift) for one in held if one.row.set == name]
    found["all"] = [row for rows in found.values() for row in rows]
    for name, rows in found.items():
        means = np.mean(np.array(rows), axis=0)
        lines.append(f"| {name} | {len(rows)} | {' | '.join(f'{100 * value:.1f}' for value in means[:-1])} | {100 * means[-1]:.0f} % |")
    odds = [early(one, blend.scored, blend.scored_enough, blend.lift) for one in seen]
    values = 1 / (1 + np.exp(-np.concatenate(odds)))
    truths = np.concatenate([one.truths for one in seen])
    quality = f"AUC {auc(values, truths):.3f}, ECE {calibration_error(values, truths):.3f}"
    ending = f"relevance as a chance, as served: {quality}; reading ends at a lead of {blend.scored_enough.lead}"
    return "\n".join([*lines, "", "Blends: each set by weights that were fitted on the other sets.", ending])


def seal(folder: Path) -> None:
    """Write the digests of what the service reads."""
    found = [name for name in READ_FILES if (folder / name).is_file()]
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in found}
    (folder / "digests.json").write_text(json.dumps({"files": digests}, indent=1) + "\n", encoding="utf-8")


def early(one: Seen, relevance: Calibration, enough: Enough, lift: float) -> Matrix:
    """The log odds that the service ends up with."""
    return lifted(known(one, relevance, enough), one.near, lift)


def known(one: Seen, relevance: Calibration, enough: Enough) -> Matrix:
    """The log odds of what is read, and what is expected of the others; evidence is computed from them."""
    odds, expected = _odds(one, relevance), _expected(one, enough)
    rest = list(one.order[_ends(one, odds, enough) :])
    odds[rest] = expected[rest]
    return odds


def _ends(one: Seen, odds: Matrix, enough: Enough) -> int:
    """How many passages are read."""
    expected = _expected(one, enough)

    def ends(end: int) -> bool:
        return ahead(max(odds[list(one.order[:end])]), expected[list(one.order[end:])].tolist()) >= enough.lead

    return next((end for _, end in stages(len(one.order)) if ends(end)), len(one.order))


def _expected(one: Seen, enough: Enough) -> Matrix:
    return one.before @ np.array(enough.expected.weights) + enough.expected.bias


def _ways(one: Seen, alone: Calibration, scored: Calibration, enough: Enough, lift: float) -> list[float]:
    odds = _odds(one, scored)
    return [
        one.ndcg(-np.arange(len(one.signals), dtype=float)), one.ndcg(one.signals[:, 0]), one.ndcg(_odds(one, alone)), one.ndcg(odds),
        one.ndcg(lifted(odds, one.near, lift)), one.ndcg(early(one, scored, enough, lift)), _ends(one, odds, enough) / len(one.order),
    ]  # fmt: skip


def _odds(one: Seen, relevance: Calibration) -> Matrix:
    return one.signals @ np.array(relevance.weights) + relevance.bias
