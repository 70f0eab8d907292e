"""The next token from a row of logits: penalties, temperature, top-k, top-p, min-p, and a draw that a seed repeats.

Order: masks and bias, penalties, temperature, top-k, top-p, min-p (as transformers and vLLM do). It works on numpy rows and refuses to know who computed them.
Sources: nucleus sampling, Holtzman et al. 2020; min-p, Nguyen et al. 2024; repetition penalty, Keskar et al. 2019.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from slipway_generator.engine import Sampling, TokenLogprob

Row = NDArray[np.float32]
HEAD = 512
"""How many of the likeliest tokens are sorted before top-p; nearly always enough, and exact when it is not (then all are sorted)."""


class Sampler:
    """One sequence's sampling. `pick` draws exactly one random number a token, so drafts that it verifies do not change what a seed says."""

    def __init__(self, sampling: Sampling, prompt: Sequence[int], vocabulary: int) -> None:
        self._sampling = sampling
        self._random = np.random.Generator(np.random.PCG64(abs(sampling.seed or 0)))
        self._counts: dict[int, int] = {}
        self._repeated = np.unique(np.asarray(prompt, dtype=np.int64)) if sampling.repetition_penalty != 1.0 else np.empty(0, np.int64)
        self._repeated = self._repeated[self._repeated < vocabulary]
        self._bias = np.asarray([token for token, _ in sampling.logit_bias], dtype=np.int64)
        self._banned = frozenset(token for token, _ in sampling.logit_bias)
        # Greedy with nothing but negative biases: the likeliest token stays the likeliest unless it is one of them, and no row need be copied.
        self._only_banned = replace(sampling, logit_bias=()).plain_greedy and all(value <= 0 for _, value in sampling.logit_bias)
        self._bias_by = np.asarray([value for _, value in sampling.logit_bias], dtype=np.float32)

    def pick(self, logits: Row, allowed: NDArray[np.bool_] | None = None) -> int:
        """The next token. `allowed` masks the vocabulary; at least one entry must be True. `logits` is not changed."""
        sampling = self._sampling
        if sampling.plain_greedy and allowed is None:
            return int(logits.argmax())
        if self._only_banned and allowed is None and (best := int(logits.argmax())) not in self._banned:
            return best
        row = self._shaped(logits, allowed)
        if sampling.temperature == 0.0:
            return int(row.argmax())
        return self._among(*self._candidates(row / np.float32(sampling.temperature)))

    def guess(self, logits: Row) -> tuple[int, Row]:
        """A draft token drawn from a draft model's logits, and the distribution over the vocabulary that it was drawn from."""
        source = self._distribution(logits)
        return self._among(np.arange(len(source)), source), source

    def verify(self, logits: Row, draft: int, source: Row) -> int:
        """`draft`, which was drawn from `source`, or another token, such that the result is distributed as `pick` draws it (Leviathan et al. 2023, algorithm 1)."""
        target = self._distribution(logits)
        if self._random.random() * source[draft] < target[draft]:
            return draft
        left = np.maximum(target - source, 0)
        return self._among(np.arange(len(left)), left if left.any() else target)

    def accept(self, token: int) -> None:
        """`token` was generated; penalties count it from now on."""
        sampling = self._sampling
        if sampling.presence_penalty or sampling.frequency_penalty:
            self._counts[token] = self._counts.get(token, 0) + 1
        if sampling.repetition_penalty != 1.0 and token not in self._repeated:
            self._repeated = np.append(self._repeated, token)

    def _among(self, tokens: NDArray[np.int64], weights: Row) -> int:
        """One of `tokens` by weight, for one random number."""
        edges = np.cumsum(weights, dtype=np.float64)
        at = int(np.searchsorted(edges, self._random.random() * edges[-1], side="right"))
        return int(tokens[min(at, len(tokens) - 1)])

    def _distribution(self, logits: Row) -> Row:
        """What `pick` draws from at a temperature above 0, over the whole vocabulary."""
        tokens, probabilities = self._candidates(self._shaped(logits, None) / np.float32(self._sampling.temperature))
        whole = np.zeros(len(logits), dtype=np.float32)
        whole[tokens] = probabilities / probabilities.sum()
        return whole

    def _shaped(self, logits: Row, allowed: NDArray[np.bool_] | None) -> Row:
        sampling = self._sampling
        row = logits.copy() if allowed is None else np.where(allowed, logits, np.float32(-np.inf))
        if len(self._bias):
            row[self._bias] += self._bias_by
        if len(self._repeated):
            seen = row[self._repeated]
            row[self._repeated] = np.where(seen > 0, seen / sampling.repetition_penalty, seen * sampling.repetition_penalty)
        if self._counts:
            tokens = np.fromiter(self._counts, dtype=np.int64)
            counts = np.fromiter(self._counts.values(), dtype=np.float32)
            row[tokens] -= counts * np.float32(sampling.frequency_penalty) + np.float32(sampling.presence_penalty)
        return row

    def _candidates(self, row: Row) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        sampling = self._sampling
        tokens = np.arange(len(row))
        if 0 < sampling.top_k < len(row):
            tokens = np.argpartition(row, -sampling.top_k)[-sampling.top_k :]
        probabilities = softmax(row[tokens])
        if sampling.top_p < 1.0:
            tokens, probabilities = _nucleus(tokens, probabilities, sampling.top_p)
        if sampling.min_p > 0.0:
            keep = probabilities >= sampling.min_p * probabilities.max()
            tokens, probabilities = tokens[keep], probabilities[keep]
        return tokens, probabilities


def softmax(row: Row) -> Row:
    """Probabilities of a row of logits."""
    exponents = np.exp(row - row.max())
    return exponents / exponents.sum()


def logprobs(logits: Row, token: int, alternatives: int) -> TokenLogprob:
    """The log-probability of `token` and of the `alternatives` likeliest tokens, under the model's own distribution."""
    peak = logits.max()
    normal = float(peak) + float(np.log(np.exp(logits - peak).sum(dtype=np.float64)))
    top: tuple[tuple[int, float], ...] = ()
    if alternatives:
        best = np.argpartition(logits, -alternatives)[-alternatives:] if alternatives < len(logits) else np.arange(len(logits))
        best = best[np.argsort(-logits[best], kind="stable")]
        top = tuple((int(one), float(logits[one]) - normal) for one in best)
    return TokenLogprob(token, float(logits[token]) - normal, top)


def _nucleus(tokens: NDArray[np.int64], probabilities: Row, top_p: float) -> tuple[NDArray[np.int64], Row]:
    """The smallest set of likeliest tokens whose mass reaches `top_p`."""
    if len(probabilities) > HEAD:
        head = np.argpartition(probabilities, -HEAD)[-HEAD:]
        if probabilities[head].sum(dtype=np.float64) >= top_p:
            tokens, probabilities = tokens[head], probabilities[head]
    order = np.argsort(-probabilities, kind="stable")
    mass = np.cumsum(probabilities[order], dtype=np.float64)
    kept = order[: int(np.searchsorted(mass, top_p, side="left")) + 1]
    return tokens[kept], probabilities[kept]
