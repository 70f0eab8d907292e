"""Which rows of which source, how often and in which order: the mixture's weights and the curriculum as a list of row numbers.

It knows counts, weights and one seed. It refuses to know what is in a row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from slipway_training.data.mixture import MixtureConfig
from slipway_training.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Share:
    """One source in the blend: the rows it has, the rows taken, and the rows that its weight asked for."""

    available: int
    taken: int
    wanted: int

    @property
    def repeats(self) -> float:
        """How often each row is seen on average."""
        return self.taken / self.available


def shares(mixture: MixtureConfig, available: Mapping[str, int]) -> dict[str, Share]:
    """Rows of each source by weight; raises ConfigError for a source that fills no row.

    With `tokens` 0 the blend is as large as it can be without repeating: the source that is scarcest for its weight is taken whole, the others in part.
    A source is never taken more than `max_repeats` times: it then falls short of its weight, which `wanted` shows.
    """
    for source in mixture.sources:
        if not available[source.name]:
            raise ConfigError(f"source {source.name} fills no row of {mixture.context} tokens: lower `context` or leave it out")
    total = sum(s.weight for s in mixture.sources)
    part = {s.name: s.weight / total for s in mixture.sources}
    rows = mixture.tokens / mixture.context if mixture.tokens else min(available[n] / p for n, p in part.items())
    wanted = {name: max(1, round(rows * p)) for name, p in part.items()}
    limit = mixture.max_repeats if mixture.tokens else 1
    return {name: Share(available[name], max(1, min(n, int(available[name] * limit))), n) for name, n in wanted.items()}


def order(mixture: MixtureConfig, available: Mapping[str, Sequence[int]]) -> tuple[list[NDArray[np.int64]], dict[str, Share]]:
    """For each stage its rows as `(n, 2)` of (source, row within source and stage), shuffled; and each source's share.

    `available[name][k]` counts the rows of stage k. A source repeats evenly: every row `floor(repeats)` times, and a random part of them once more.
    """
    taken = shares(mixture, {name: sum(rows) for name, rows in available.items()})
    stages: list[NDArray[np.int64]] = []
    for stage in range(len(mixture.stages)):
        picked = [
            np.stack([np.full(len(rows), number), rows], axis=1)
            for number, source in enumerate(mixture.sources)
            if len(rows := _pick(mixture.seed, source.name, stage, available[source.name], taken[source.name].taken))
        ]
        joined = np.concatenate(picked) if picked else np.zeros((0, 2), np.int64)
        stages.append(joined[_generator(mixture.seed, "order", stage).permutation(len(joined))])
    return stages, taken


def _pick(seed: int, name: str, stage: int, available: Sequence[int], taken: int) -> NDArray[np.int64]:
    """The rows of one source and stage; stages get their part of `taken` by largest remainder, so that the parts sum to it."""
    rows = available[stage]
    if not rows:
        return np.zeros(0, np.int64)
    share = _apportion(available, taken)[stage]
    whole, rest = divmod(share, rows)
    once_more = _generator(seed, name, stage).permutation(rows)[:rest]
    return np.concatenate([np.tile(np.arange(rows), whole), np.sort(once_more)]).astype(np.int64)


def _apportion(available: Sequence[int], taken: int) -> list[int]:
    exact = [taken * rows / sum(available) for rows in available]
    out = [int(e) for e in exact]
    for stage in sorted(range(len(exact)), key=lambda k: (out[k] - exact[k], k))[: taken - sum(out)]:
        out[stage] += 1
    return out


def _generator(*what: object) -> np.random.Generator:
    """A stream of its own for each purpose; named seeds, so that adding a source moves no other source's rows."""
    return np.random.default_rng(Random("/".join(map(str, what))).getrandbits(64))
