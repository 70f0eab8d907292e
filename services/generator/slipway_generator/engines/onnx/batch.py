"""A static batch: several sequences in one generator, a row each, read together and then continued by one token a step until the last has ended.

onnxruntime-genai takes tokens from outside only once for a batch, and picks the later ones itself. The tokens that our sampling drew are therefore handed to it as
logits of which they are the peak. Short rows are padded behind their prompt; the graph's attention counts the tokens of each row, so padding changes no number.
Which requests can share a batch is decided here as well. It refuses to know queues and threads.
"""

import time
from collections.abc import Iterable
from typing import Any

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
        self._capacity = min(native.context_tokens, width + most)
        self._length = width
        self._native: Any = native.generator(len(sequences), self._capacity)
        self._pad, self._end = native.filling
        self._rows = len(sequences)
        self._wasted = 0
        self._begun = False
        self._chosen = np.full(self._rows, self._end, dtype=np.int64)
        self._peaks: NDArray[np.float32] = np.empty((0, 1, 0), dtype=np.float32)
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
            self._continue()
        else:
            self._native.append_tokens(self._prompts())
            self._begun = True
        for sequence in self.live.values():
            sequence.done = sequence.length
        self._wasted += self._rows - len(self.live)
        logits: NDArray[np.float32] = self._native.get_logits()[:, -1]
        return logits

    def end(self, row: int) -> None:
        """The sequence of this row says no more."""
        del self.live[row]

    def _prompts(self) -> NDArray[np.int32]:
        tokens = np.full((self._rows, self._length), self._pad, dtype=np.int32)
        for row, sequence in self.live.items():
            tokens[row, : sequence.length] = sequence.tokens[: sequence.length]
        return tokens

    def _continue(self) -> None:
        """Append to each row the token that its sequence gained last; ended rows are told that they have ended."""
        rows = np.arange(self._rows)
        if not self._peaks.size:
            self._peaks = np.zeros_like(self._native.get_logits()[:, -1:])
        self._peaks[rows, 0, self._chosen] = 0.0
        self._chosen[:] = self._end
        for row, sequence in self.live.items():
            self._chosen[row] = sequence.tokens[sequence.length - 1]
        self._peaks[rows, 0, self._chosen] = 1.0
        self._native.set_logits(self._peaks)
        self._native.generate_next_token()
        self._length += 1


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
