"""`python -m slipway_retriever.evaluate.weigh LISTS.jsonl`: fit the hybrid's share (index/fusion.py) to mined lists, for the embedder that mined them.

Listwise: the softmax over each list of a share of cosine and the rest of BM25 is to lie on the passages that answer (ListNet, Cao et al. 2007); the share is
a logistic function of what is seen of the query. Every set weighs the same. It refuses to know how lists were mined: give it training questions, and judge by others.
"""

import argparse
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from slipway_shared.terms import terms

from slipway_retriever.index.fusion import GAP_PLACE, LONG_QUERY, MINILM, Share

Matrix = NDArray[np.float64]
EACH = 1500
STEPS, RATE, RIDGE = 1500, 0.05, 1e-4
OFF = -1e9


@dataclass(frozen=True, slots=True)
class Lists:
    """Padded [lists, passages]: cosines, BM25 shares, OFF where there is no passage and 0 elsewhere, the target; [lists, 4] signals; a weight per list."""

    dense: Matrix
    words: Matrix
    mask: Matrix
    target: Matrix
    signals: Matrix
    weight: Matrix


def main(argv: Sequence[str] | None = None) -> int:
    """Print the fitted share, and the loss beside that of the share which is in use."""
    parser = argparse.ArgumentParser(prog="slipway_retriever.evaluate.weigh", description=(main.__doc__ or "").strip())
    parser.add_argument("lists", type=Path, help="of python -m slipway_retriever.evaluate.mine")
    parser.add_argument("--each", type=int, default=EACH, help="lists of each set, at most")
    wanted = parser.parse_args(argv)
    rows = [json.loads(line) for line in wanted.lists.read_text(encoding="utf-8").splitlines()]
    lists = packed(rows, wanted.each)
    share, sharpness = fit(lists)
    now = np.array([sharpness, MINILM.bias, MINILM.gap, MINILM.best, MINILM.length])
    fitted = np.array([sharpness, share.bias, share.gap, share.best, share.length])
    sys.stdout.write(
        f"{share!r}\nloss over {len(lists.weight):,} lists: {_loss(lists, fitted)[0]:.4f}; of MINILM: {_loss(lists, now)[0]:.4f}\n"
    )
    return 0


def packed(rows: Sequence[dict[str, Any]], each: int) -> Lists:
    """The rows that hold an answer among what search returned, at most `each` of a set."""
    by_set: dict[str, list[dict[str, Any]]] = {}
    for row in random.Random(0).sample(rows, len(rows)):  # noqa: S311
        some = by_set.setdefault(row["set"], [])
        if len(some) < each and any(place < row["found"] for place in row["relevant"]):
            some.append(row)
    chosen = [(row, 1 / len(some) / len(by_set)) for some in by_set.values() for row in some]
    width = max(row["found"] for row, _ in chosen)
    shape = (len(chosen), width)
    weight = np.array([weight for _, weight in chosen])
    made = Lists(np.zeros(shape), np.zeros(shape), np.full(shape, OFF), np.zeros(shape), np.zeros((len(chosen), 4)), weight)
    for number, (row, _) in enumerate(chosen):
        found = row["found"]
        dense, words = np.array(row["dense"][:found]), np.array(row["words"][:found])
        right = [place for place in row["relevant"] if place < found]
        made.dense[number, :found], made.words[number, :found], made.mask[number, :found] = dense, words, 0.0
        made.target[number, right] = 1 / len(right)
        ranked = np.sort(words)[::-1]
        gap = ranked[0] - (ranked[GAP_PLACE] if found > GAP_PLACE else 0.0)
        made.signals[number] = (1.0, gap, dense.max(), min(1.0, len(terms(row["query"])) / LONG_QUERY))
    return made


def fit(lists: Lists) -> tuple[Share, float]:
    """The share, and the logarithm of the softmax's sharpness; by Adam on all lists at once."""
    theta = np.array([2.5, 1.0, 0.0, 0.0, 0.0])
    first, second = np.zeros(5), np.zeros(5)
    for step in range(1, STEPS + 1):
        _, gradient = _loss(lists, theta)
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        rate = RATE * (1 - step / (STEPS + 1))
        theta = theta - rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-9)
    return Share(*(round(float(value), 2) for value in theta[1:])), float(theta[0])


def _loss(lists: Lists, theta: Matrix) -> tuple[float, Matrix]:
    """Cross-entropy and its gradient."""
    share = 1 / (1 + np.exp(-(lists.signals @ theta[1:])))
    blended = share[:, None] * lists.dense + (1 - share[:, None]) * lists.words
    scale = np.exp(theta[0])
    scores = scale * blended + lists.mask
    scores -= scores.max(axis=1, keepdims=True)
    total = np.log(np.exp(scores).sum(axis=1, keepdims=True))
    value = -(lists.weight * (lists.target * np.where(lists.target > 0, scores - total, 0.0)).sum(axis=1)).sum()
    off = (np.exp(scores - total) - lists.target) * lists.weight[:, None]
    by_share = (off * scale * (lists.dense - lists.words)).sum(axis=1) * share * (1 - share)
    gradient = np.concatenate([[(off * blended * scale).sum()], lists.signals.T @ by_share + 2 * RIDGE * theta[1:]])
    return float(value + RIDGE * (theta[1:] @ theta[1:])), gradient


if __name__ == "__main__":
    sys.exit(main())
