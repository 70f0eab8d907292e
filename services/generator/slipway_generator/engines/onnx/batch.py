"""A static batch: several sequences in one generator, a row each, read together and then continued by one token a step until the last has ended.

Short rows are padded behind their prompt; the graph's attention counts the tokens of each row, so padding changes no number.
Which requests can share a batch is decided here as well. It refuses to know queues and threads.
"""

import time
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from slipway_generator.engines.onnx.native import Native
from slipway_generator.engines.sequence import Sequence

PADDING_SHARE = 4
"""Padding is computed like any token: at most a quarter of what the rows hold, or PADDING_FREE tokens, may be added to it by uneven prompts."""
PADDING_FREE = 64


class Batch:
    """`live` maps rows to the sequences that are still answering."""

    def __init__(self, native: Native, sequences: list[Sequence]) -> None:
        if native.filling is None:
            raise ValueError("the model has no token that fills up rows")
        width = max(sequence.length for sequence in sequences)
        most = max(_remaining(sequence) for sequence in sequences)
        self._length = width
        self._rows = len(sequences)
        self._native, self._capacity = native.rows(self._rows, min(native.context_tokens, width + most))
        self._origin = native
        self._pad, self._end = native.filling
        self._wasted = 0
        self._begun = False
        self.live: dict[int, Sequence] = dict(enumerate(sequences))
        for sequence in sequences:
            # A batch has no memory of earlier prompts.
            sequence.done = 0

    @property
    def spent(self) -> bool:
        """Whether those that are left should go on elsewhere, which costs reading them anew: the batch is full, or its ended rows have cost as much as that."""
        return self._length >= self._capacity or self._wasted >= sum(sequence.length for sequence in self.live.values())

    def read(self) -> NDArray[np.float32]:
        """Logits [rows, vocabulary] after the last token of each row; those of ended rows mean nothing."""
        now = time.monotonic()
        for sequence in self.live.values():
            sequence.started = sequence.started or now
        if self._begun:
            self._native.append_each(self._last())
            self._length += 1
        else:
            self._native.append(self._prompts())
            self._begun = True
        for sequence in self.live.values():
            sequence.done = sequence.length
        self._wasted += self._rows - len(self.live)
        return self._native.logits()

    def close(self) -> None:
        """Nobody is left; the memory serves the next batch."""
        self._origin.give_back(self._rows, self._capacity, self._native)

    def end(self, row: int) -> None:
        """The sequence of this row says no more."""
        del self.live[row]

    def _prompts(self) -> NDArray[np.int32]:
        tokens = np.full((self._rows, self._length), self._pad, dtype=np.int32)
        # Whoever left before the first step still has a row, and one of nothing but padding is an error of the whole batch.
        tokens[:, 0] = self._end
        for row, sequence in self.live.items():
            tokens[row, : sequence.length] = sequence.tokens[: sequence.length]
        return tokens

    def _last(self) -> NDArray[np.int64]:
        """The token that each row gained last; ended rows are told that they have ended."""
        tokens = np.full(self._rows, self._end, dtype=np.int64)
        for row, sequence in self.live.items():
            tokens[row] = sequence.tokens[sequence.length - 1]
        return tokens


def batchable(native: Native, sequence: Sequence) -> bool:
    """Whether a row of a batch can do what the request wants: no scores of its prompt, more than one token, and no padding among its own tokens."""
    request = sequence.request
    if native.filling is None or request.prompt_logprobs is not None or _remaining(sequence) < 2:
        return False
    return not bool((sequence.tokens[: sequence.length] == native.filling[0]).any())


def alike(sequences: Iterable[Sequence], most: int) -> list[Sequence]:
    """The first of `sequences` and those after it, `most` in all, whose lengths are near enough to share a batch without much padding."""
    chosen: list[Sequence] = []
    for sequence in sequences:
        lengths = [one.length for one in (*chosen, sequence)]
        held, computed = sum(lengths), len(lengths) * max(lengths)
        if computed - held <= max(PADDING_FREE, held // PADDING_SHARE):
            chosen.append(sequence)
        if len(chosen) == most:
            break
    return chosen


def _remaining(sequence: Sequence) -> int:
    return sequence.request.max_tokens - sequence.generated
