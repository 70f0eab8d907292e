"""`python -m slipway_reranker.calibrate PAIRS.jsonl [--scorer FOLDER [--prose]]`: fit relevance and evidence to questions with and without
an answer, and say how good they are.

Rows are {"set", "query", "documents", "relevant", "answerable", "scores"} as `python -m slipway_retriever.evaluate --pairs` writes them.
Of the overlap scorer it prints the
coefficients for evidence.py; into a cross-encoder's folder it writes calibration.json. Two thirds of the questions are fitted, the others reported.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from slipway_reranker import blending
from slipway_reranker.evidence import SIGNAL_NAMES, Calibration
from slipway_reranker.fitting import Matrix, Truths, auc, balanced, calibration_error, logistic
from slipway_reranker.overlap import measure
from slipway_reranker.reliability import draw
from slipway_reranker.scorer import ScorerMissing

THRESHOLDS = (0.1, 0.2, 0.25, 0.3, 0.4, 0.5)


@dataclass(frozen=True, slots=True)
class Listed:
    """One row of the file."""

    set: str
    query: str
    documents: tuple[str, ...]
    relevant: tuple[int, ...]
    answerable: bool
    scores: tuple[float, ...] = ()

    @property
    def held_out(self) -> bool:
        """Both rows of a question are on the same side of the split."""
        return hashlib.sha256(self.query.encode()).digest()[0] % 3 == 0


@dataclass(frozen=True, slots=True)
class Rows:
    """Signals [rows, signals], whether an answer was there, which set the row is of, and whether it is held out."""

    signals: Matrix
    answerable: Truths
    sets: tuple[str, ...]
    held_out: Truths


def main(argv: Sequence[str] | None = None) -> int:
    """Fit on two thirds of the questions, report on the other third."""
    parser = argparse.ArgumentParser(prog="slipway_reranker.calibrate", description=(main.__doc__ or "").strip())
    parser.add_argument("pairs", type=Path)
    parser.add_argument(
        "--scorer", type=Path, help="a cross-encoder's folder, which gets its calibration.json; without it the overlap scorer is fitted"
    )
    parser.add_argument(
        "--prose", action="store_true", help="fit how the cross-encoder reads prose (calibration-prose.json), on the lists that are prose"
    )
    parser.add_argument("--plot", type=Path, help="write the reliability of the evidence as an SVG")
    wanted = parser.parse_args(argv)
    lists = read(wanted.pairs)
    if wanted.scorer:
        try:
            blend, rows, told = blending.fit(wanted.scorer, lists, prose=wanted.prose)
        except ScorerMissing as error:
            sys.exit(str(error))
        sys.stdout.write(f"{told}\n\n")
        fitted = blend.evidence
    else:
        rows = overlap_rows(lists)
        fitted = fit(rows)
        sys.stdout.write(f"OVERLAP = {fitted!r}\nsignals: {', '.join(SIGNAL_NAMES)}\n\n")
    sys.stdout.write(f"{report(rows, fitted)}\n")
    if wanted.plot:
        held = rows.held_out
        wanted.plot.write_text(draw(chances(rows, fitted)[held], rows.answerable[held]), encoding="utf-8")
    return 0


def read(path: Path) -> list[Listed]:
    """Every row of the file."""
    raw = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        Listed(r["set"], r["query"], tuple(r["documents"]), tuple(r.get("relevant", ())), bool(r["answerable"]), tuple(r.get("scores", ())))
        for r in raw
    ]


def overlap_rows(lists: Sequence[Listed]) -> Rows:
    """Signals of every row whose query holds a content word."""
    found = [(row, measured) for row in lists if (measured := measure(row.query, row.documents)[1]) is not None]
    return rows_of([row for row, _ in found], [astuple(measured) for _, measured in found])


def rows_of(lists: Sequence[Listed], signals: Sequence[tuple[float, ...]]) -> Rows:
    """Rows with their signals."""
    truths = np.array([row.answerable for row in lists])
    return Rows(np.array(signals), truths, tuple(row.set for row in lists), np.array([row.held_out for row in lists]))


def fit(rows: Rows) -> Calibration:
    """Logistic; every set and label weighs the same."""
    kept = ~rows.held_out
    groups = [f"{rows.sets[i]}{rows.answerable[i]}" for i in np.flatnonzero(kept)]
    return logistic(rows.signals[kept], rows.answerable[kept], balanced(groups))


def chances(rows: Rows, calibration: Calibration) -> Matrix:
    """The evidence of every row."""
    return 1 / (1 + np.exp(-np.clip(rows.signals @ np.array(calibration.weights) + calibration.bias, -30, 30)))


def report(rows: Rows, calibration: Calibration) -> str:
    """Held-out figures per set: area under the ROC curve, calibration error, and what each threshold lets through and keeps back."""
    values = chances(rows, calibration)
    head = "| set | rows | AUC | ECE | " + " | ".join(f"at {t}" for t in THRESHOLDS) + " |"
    lines = [head, "|" + "---|" * (4 + len(THRESHOLDS))]
    names = np.array(rows.sets)
    for name in [*sorted(set(rows.sets)), "all"]:
        chosen = rows.held_out & ((names == name) | (name == "all"))
        lines.append(_line(name, values[chosen], rows.answerable[chosen]))
    return "\n".join([*lines, "", "`at t`: answerable questions let through / unanswerable ones kept back, in percent."])


def _line(name: str, values: Matrix, truths: Truths) -> str:
    points = [f"{100 * (values[truths] >= t).mean():.0f} / {100 * (values[~truths] < t).mean():.0f}" for t in THRESHOLDS]
    return f"| {name} | {len(values)} | {auc(values, truths):.3f} | {calibration_error(values, truths):.3f} | {' | '.join(points)} |"


if __name__ == "__main__":
    sys.exit(main())
