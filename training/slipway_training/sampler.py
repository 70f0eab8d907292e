"""Which rows make up batch i of a run: a pure function of the shards, the seed and i.

It knows the curriculum (stages one after another, each shuffled) and batches of like length. It keeps no state: resuming needs the batch number alone.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slipway_training.shards import Shard

POOL_BATCHES = 16
"""Rows are sorted by length within a pool of this many batches: little padding, and still a random order of lengths."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded arrays of one optimizer step, each of shape (rows, longest row). `segments` is 255 on padding."""

    tokens: NDArray[np.int64]
    segments: NDArray[np.int64]
    positions: NDArray[np.int64]
    target: NDArray[np.bool_]
    size: int


class Sampler:
    """The batches of a whole run, in order."""

    def __init__(self, shards: list[Shard], batch_tokens: int, seed: int) -> None:
        """`batch_tokens` bounds the rows of one batch without padding, so that each step sees about as much."""
        self._shards = shards
        self._plan: list[tuple[int, NDArray[np.int64]]] = []
        for stage, shard in enumerate(shards):
            rng = np.random.default_rng((seed, stage))
            self._plan += [(stage, rows) for rows in _batches(shard.lengths(), batch_tokens, rng)]

    def __len__(self) -> int:
        return len(self._plan)

    @property
    def tokens(self) -> int:
        """Tokens of all batches together."""
        return sum(int(self._shards[stage].lengths()[rows].sum()) for stage, rows in self._plan)

    def stage(self, index: int) -> int:
        """The curriculum stage of batch `index`."""
        return self._plan[index][0]

    def batch(self, index: int) -> Batch:
        """Batch `index`, padded."""
        stage, rows = self._plan[index]
        shard = self._shards[stage]
        longest = int(shard.lengths()[rows].max())
        shape = (len(rows), longest)
        tokens, positions = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        segments, target = np.full(shape, 255, np.int64), np.zeros(shape, np.bool_)
        for i, row in enumerate(rows):
            span = slice(int(shard.offsets[row]), int(shard.offsets[row + 1]))
            size = span.stop - span.start
            tokens[i, :size] = shard.tokens[span]
            segments[i, :size] = shard.segments[span]
            positions[i, :size] = shard.positions[span]
            target[i, :size] = shard.target[span]
        return Batch(tokens, segments, positions, target, int(shard.lengths()[rows].sum()))


def _batches(lengths: NDArray[np.int64], batch_tokens: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    order = rng.permutation(len(lengths))
    mean = float(lengths.mean()) if len(lengths) else 1.0
    pool = max(1, int(POOL_BATCHES * batch_tokens / mean))
    out: list[NDArray[np.int64]] = []
    for start in range(0, len(order), pool):
        rows = order[start : start + pool]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        cuts = (np.cumsum(lengths[rows]) - 1) // batch_tokens
        groups = [rows[cuts == c] for c in np.unique(cuts)]
        out += [groups[i] for i in rng.permutation(len(groups))]
    return out
