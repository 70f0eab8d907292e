"""Which rows make up optimizer step i: a pure function of the rows, the seed and i.

It knows the held-out rows, the curriculum and sampling weights. It keeps no state: resuming needs the number of rows that were taken, nothing else.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from slipway_training.data.sampling import resample
from slipway_training.errors import ConfigError

Rows = NDArray[np.int64]


class Order:
    """Every row once an epoch, stage after stage, shuffled within each; or drawn by weight."""

    def __init__(self, stages: Sequence[int], *, held_out: int, seed: int, weights: NDArray[np.floating] | None = None) -> None:
        """`stages`: rows of each curriculum stage, in order. The held-out rows are spread evenly over all of them. Raises ConfigError."""
        total = sum(stages)
        if total <= held_out:
            raise ConfigError(f"{total} rows are too few: {held_out} are held out (data.held_out_rows), and the rest is trained on")
        if weights is not None and (len(weights) != total or weights.min() < 0 or weights.sum() <= 0):
            raise ConfigError(f"data.weights needs {total} numbers, one a row, none negative")
        self.held_out: Rows = np.linspace(0, total - 1, held_out).astype(np.int64)
        kept = np.ones(total, bool)
        kept[self.held_out] = False
        bounds = np.cumsum([0, *stages])
        self._stages = [np.flatnonzero(kept[a:b]) + a for a, b in pairwise(bounds)]
        self._seed = seed
        self._weights = weights
        self._epoch: tuple[int, Rows] = (-1, np.zeros(0, np.int64))
        self.rows = int(kept.sum())

    def take(self, first: int, count: int) -> Rows:
        """Rows number `first` to `first + count` of the endless stream of epochs."""
        out: list[Rows] = []
        while count > 0:
            epoch, at = divmod(first, self.rows)
            part = self._of(epoch)[at : at + count]
            out.append(part)
            first, count = first + len(part), count - len(part)
        return np.concatenate(out) if out else np.zeros(0, np.int64)

    def _of(self, epoch: int) -> Rows:
        if self._epoch[0] != epoch:
            parts: list[Rows] = []
            for number, rows in enumerate(self._stages):
                rng = np.random.default_rng((self._seed, epoch, number))
                if self._weights is None or not len(rows):
                    parts.append(rng.permutation(rows))
                else:
                    parts.append(resample(rows, self._weights, rng))
            self._epoch = (epoch, np.concatenate(parts))
        return self._epoch[1]
