"""`python -m slipway_reranker.calibrate PAIRS.jsonl`: fit the evidence of the overlap scorer to questions with and without an answer, and say how good it is.

Rows are {"set", "query", "documents", "answerable"} as `python -m slipway_retriever.evaluate --pairs` writes them. It refuses to change the code: it prints
the coefficients for evidence.py.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slipway_reranker.evidence import SIGNAL_NAMES, Calibration
from slipway_reranker.overlap import measure

THRESHOLDS = (0.1, 0.2, 0.25, 0.3, 0.4, 0.5)
RIDGE = 1.0

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rows:
    """Signals [rows, signals], whether an answer was there, which set the row is of, and whether it is held out."""

    signals: Matrix
    answerable: NDArray[np.bool_]
    sets: NDArray[np.str_]
    held_out: NDArray[np.bool_]


def main(argv: Sequence[str] | None = None) -> int:
    """Fit on two thirds of the questions, report on the other third."""
    parser = argparse.ArgumentParser(prog="slipway_reranker.calibrate", description=(main.__doc__ or "").strip())
    parser.add_argument("pairs", type=Path)
    rows = read(parser.parse_args(argv).pairs)
    fitted = fit(rows)
    sys.stdout.write(f"OVERLAP = {fitted!r}\nsignals: {', '.join(SIGNAL_NAMES)}\n\n{report(rows, fitted)}\n")
    return 0


def read(path: Path) -> Rows:
    """Signals of every row whose query holds a content word. Both rows of a question are on the same side of the split."""
    signals: list[tuple[float, ...]] = []
    labels: list[bool] = []
    sets: list[str] = []
    held_out: list[bool] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        measured = measure(row["query"], row["documents"])[1]
        if measured is not None:
            signals.append(astuple(measured))
            labels.append(bool(row["answerable"]))
            sets.append(str(row["set"]))
            held_out.append(hashlib.sha256(row["query"].encode()).digest()[0] % 3 == 0)
    return Rows(np.array(signals), np.array(labels), np.array(sets), np.array(held_out))


def fit(rows: Rows, iterations: int = 50) -> Calibration:
    """Ridge logistic regression by Newton's method; every set and label weighs the same, so that the largest set does not decide."""
    kept = ~rows.held_out
    x = np.hstack([np.ones((int(kept.sum()), 1)), rows.signals[kept]])
    y, groups = rows.answerable[kept].astype(float), [f"{s}{a}" for s, a in zip(rows.sets[kept], rows.answerable[kept], strict=True)]
    sizes = {group: groups.count(group) for group in set(groups)}
    weight = np.array([len(groups) / len(sizes) / sizes[group] for group in groups])
    ridge = np.diag([0.0, *[RIDGE] * (x.shape[1] - 1)])
    theta = np.zeros(x.shape[1])
    for _ in range(iterations):
        p = 1 / (1 + np.exp(-np.clip(x @ theta, -30, 30)))
        gradient = x.T @ (weight * (p - y)) + ridge @ theta
        hessian = (x * (weight * p * (1 - p))[:, None]).T @ x + ridge
        theta -= np.linalg.solve(hessian, gradient)
    return Calibration(round(float(theta[0]), 2), tuple(round(float(value), 2) for value in theta[1:]))


def report(rows: Rows, calibration: Calibration) -> str:
    """Held-out figures per set: area under the ROC curve, calibration error, and what each threshold lets through and keeps back."""
    values = 1 / (1 + np.exp(-np.clip(rows.signals @ np.array(calibration.weights) + calibration.bias, -30, 30)))
    head = "| set | questions | AUC | ECE | " + " | ".join(f"at {t}" for t in THRESHOLDS) + " |"
    lines = [head, "|" + "---|" * (4 + len(THRESHOLDS))]
    for name in [*sorted(set(rows.sets.tolist())), "all"]:
        chosen = rows.held_out & ((rows.sets == name) | (name == "all"))
        lines.append(_line(name, values[chosen], rows.answerable[chosen]))
    return "\n".join([*lines, "", "`at t`: answerable questions let through / unanswerable ones kept back, in percent."])


def _line(name: str, values: Matrix, truths: NDArray[np.bool_]) -> str:
    points = [f"{100 * (values[truths] >= t).mean():.0f} / {100 * (values[~truths] < t).mean():.0f}" for t in THRESHOLDS]
    return f"| {name} | {len(values)} | {auc(values, truths):.3f} | {calibration_error(values, truths):.3f} | {' | '.join(points)} |"


def auc(values: Matrix, truths: NDArray[np.bool_]) -> float:
    """The chance that an answerable question scores above an unanswerable one; ties count half."""
    yes, no = values[truths], np.sort(values[~truths])
    below = np.searchsorted(no, yes, "left") + np.searchsorted(no, yes, "right")
    return float(below.mean() / 2 / len(no))


def calibration_error(values: Matrix, truths: NDArray[np.bool_], bins: int = 10) -> float:
    """Mean distance between promise and truth over bins of equal width, weighted by their size (Guo et al. 2017)."""
    places = np.minimum((values * bins).astype(int), bins - 1)
    parts = [places == b for b in range(bins) if (places == b).any()]
    return float(sum(abs(values[part].mean() - truths[part].mean()) * part.mean() for part in parts))


if __name__ == "__main__":
    sys.exit(main())
