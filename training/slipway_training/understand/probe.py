"""Linear probes: what can be read off each layer by a straight cut, and how much of that a probe would find in anything.

Logistic regression on standardised hidden states (Alain and Bengio 2016, arXiv 1610.01644), cross-validated, beside the same on shuffled labels (the control
of Hewitt and Liang 2019, arXiv 1909.03368, on texts instead of words). It knows vectors and labels. It refuses to know files and plots.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from slipway_training.errors import ConfigError, StackMissing
from slipway_training.evaluation.scores import Figure, paired
from slipway_training.understand.opened import Opened, hidden_states
from slipway_training.understand.texts import Text

FOLDS = 5
SHUFFLES = 3
STRENGTH = 0.1
"""Inverse regularisation of the regression: low, because a layer is often wider than there are texts."""

Pool = Literal["mean", "last"]


@dataclass(frozen=True, slots=True)
class Probed:
    """One layer (0 is the embedding): cross-validated accuracy, the same with shuffled labels, and their difference over the same texts ("selectivity")."""

    layer: int
    accuracy: Figure
    control: float
    selectivity: Figure


def probe(opened: Opened, texts: Sequence[Text], pool: Pool, tick: Callable[[], None], limit: int = 256) -> tuple[list[Probed], float]:
    """Every layer's figures, and the accuracy of always saying the commonest label. Raises ConfigError when a label has fewer texts than folds.

    Intervals are 95 % bootstraps over texts, each judged by the fold that did not see it.
    """
    names, labels = np.unique([text.label for text in texts], return_inverse=True)
    counts = np.bincount(labels)
    if len(names) < 2 or counts.min() < FOLDS:
        raise ConfigError(
            f"a probe wants two labels or more with at least {FOLDS} texts each; there are {dict(zip(names.tolist(), counts.tolist(), strict=True))}"
        )
    vectors = features(opened, texts, pool, limit)
    rng = np.random.default_rng(11)
    shuffled = [rng.permutation(labels) for _ in range(SHUFFLES)]
    out: list[Probed] = []
    for layer, column in enumerate(vectors):
        right = _right(column, labels)
        control = np.mean([_right(column, wrong) for wrong in shuffled], axis=0)
        out.append(
            Probed(layer, paired(right.tolist(), [0.0] * len(right)), float(control.mean()), paired(right.tolist(), control.tolist()))
        )
        tick()
    return out, float(counts.max() / counts.sum())


def features(opened: Opened, texts: Sequence[Text], pool: Pool, limit: int = 256) -> list[NDArray[np.float32]]:
    """One (texts, width) matrix a layer: the mean over a text's tokens, or its last token."""
    rows: list[list[NDArray[np.float32]]] = []
    for text in texts:
        ids = opened.ids(text.text, limit)
        if not ids:
            raise ConfigError("a text has no tokens")
        rows.append([(state.mean(0) if pool == "mean" else state[-1]).float().numpy() for state in hidden_states(opened.model, ids)])
    return [np.stack(layer) for layer in zip(*rows, strict=True)]


def untrained(opened: Opened, seed: int = 0) -> Opened:
    """The same shape and tokenizer with weights drawn anew: what the architecture alone gives a probe."""
    torch.manual_seed(seed)
    fresh = type(opened.model)(opened.model.config).eval().requires_grad_(False)
    return Opened(fresh, opened.tokenizer, f"{opened.name}, untrained")


def _right(vectors: NDArray[np.float32], labels: "NDArray[np.int64]") -> "NDArray[np.float64]":
    """Per text 1.0 where the probe of the folds without it is right."""
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import StratifiedKFold, cross_val_predict
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    except ImportError as error:
        raise StackMissing("scikit-learn", "eval") from error
    judge = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=300))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        said = cross_val_predict(judge, vectors, labels, cv=StratifiedKFold(FOLDS, shuffle=True, random_state=3))
    return (np.asarray(said) == labels).astype(np.float64)
