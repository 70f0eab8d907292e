"""The arithmetic of calibration: logistic fits, area under the curve, calibration error. It refuses to know scorers, files and what is predicted."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from slipway_reranker.evidence import Calibration

RIDGE = 1.0

Matrix = NDArray[np.float64]
Truths = NDArray[np.bool_]


def logistic(signals: Matrix, truths: Truths, weight: Matrix, *, ridge: float = RIDGE, iterations: int = 50) -> Calibration:
    """Ridge logistic regression by Newton's method; `weight` is one figure per row."""
    x = np.hstack([np.ones((len(signals), 1)), signals])
    penalty = np.diag([0.0, *[ridge] * signals.shape[1]])
    theta = np.zeros(x.shape[1])
    for _ in range(iterations):
        p = 1 / (1 + np.exp(-np.clip(x @ theta, -30, 30)))
        gradient = x.T @ (weight * (p - truths)) + penalty @ theta
        hessian = (x * (weight * p * (1 - p))[:, None]).T @ x + penalty + 1e-9 * np.eye(x.shape[1])
        theta -= np.linalg.solve(hessian, gradient)
    return Calibration(round(float(theta[0]), 4), tuple(round(float(value), 4) for value in theta[1:]))


def listwise(lists: Sequence[tuple[Matrix, Truths]], weight: Matrix, *, ridge: float = 1e-3, iterations: int = 30) -> Matrix:
    """Weights of a linear score whose softmax over each list is to lie on the true rows (ListNet, Cao et al. 2007), by Newton's method on standardized signals, with
    steps halved where they lead up.

    `lists` are (signals [rows, signals], truths [rows]) with at least one true row each; `weight` is one figure per list.
    """
    spread = np.concatenate([x for x, _ in lists]).std(axis=0) + 1e-9
    shares = weight / weight.sum()
    kept, step, best = np.zeros(len(spread)), np.zeros(len(spread)), math.inf
    for _ in range(iterations):
        value, gradient, hessian = _cross_entropy(lists, shares, spread, kept + step, ridge)
        if value > best:  # far from the minimum a whole Newton step overshoots
            step = step / 2
            continue
        kept, best = kept + step, value
        step = -np.linalg.solve(hessian, gradient)
    return kept / spread


def _cross_entropy(
    lists: Sequence[tuple[Matrix, Truths]], shares: Matrix, spread: Matrix, theta: Matrix, ridge: float
) -> tuple[float, Matrix, Matrix]:
    """Value, gradient and Hessian over the lists, whose shares sum to 1, of the weights `theta` of standardized signals."""
    value, gradient, hessian = ridge * float(theta @ theta), 2 * ridge * theta, 2 * ridge * np.eye(len(theta))
    for (raw, truths), share in zip(lists, shares, strict=True):
        x = raw / spread
        z = x @ theta
        z = z - z.max()
        p = np.exp(z)
        total = p.sum()
        p /= total
        mean = p @ x
        value += share * float(np.log(total) - z[truths].mean())
        gradient = gradient + share * (mean - x[truths].mean(axis=0))
        hessian += share * ((x * p[:, None]).T @ x - np.outer(mean, mean))
    return value, gradient, hessian


def balanced(groups: Sequence[str]) -> Matrix:
    """A weight per row with which every group weighs the same, so that the largest does not decide."""
    sizes = {group: groups.count(group) for group in set(groups)}
    return np.array([len(groups) / len(sizes) / sizes[group] for group in groups])


def auc(values: Matrix, truths: Truths) -> float:
    """The chance that a true row's value is above an untrue one's; ties count half."""
    yes, no = values[truths], np.sort(values[~truths])
    below = np.searchsorted(no, yes, "left") + np.searchsorted(no, yes, "right")
    return float(below.mean() / 2 / len(no))


def calibration_error(values: Matrix, truths: Truths, bins: int = 10) -> float:
    """Mean distance between promise and truth over bins of equal width, weighted by their size (Guo et al. 2017)."""
    return float(sum(abs(promised - true) * share for promised, true, share in reliability(values, truths, bins)))


def reliability(values: Matrix, truths: Truths, bins: int = 10) -> list[tuple[float, float, float]]:
    """(mean promise, share of true, share of all rows) of each bin that holds any."""
    places = np.minimum((values * bins).astype(int), bins - 1)
    parts = [places == b for b in range(bins) if (places == b).any()]
    return [(float(values[part].mean()), float(truths[part].mean()), float(part.mean())) for part in parts]
