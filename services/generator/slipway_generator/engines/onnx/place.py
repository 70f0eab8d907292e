"""A place for one sequence at a time: a generator of one row, whose KV cache is rewound to what the next prompt of the same tenant shares with it.

It refuses to know who waits.
"""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slipway_generator.engines.onnx.library import Generator
from slipway_generator.engines.sequence import Salt, Sequence


@dataclass(eq=False)
class Place:
    """One native generator and what its KV cache holds."""

    native: Generator
    salt: Salt | None = None
    held: NDArray[np.int32] | None = None
    sequence: Sequence | None = None

    def known(self, sequence: Sequence) -> int:
        """How many of the sequence's tokens this idle cache holds and may be used for it; at least one is always left to read."""
        if self.held is None or self.salt != sequence.salt or sequence.request.prompt_logprobs is not None:
            return 0
        size = min(len(self.held), sequence.length - 1)
        differs = self.held[:size] != sequence.tokens[:size]
        return int(differs.argmax()) if differs.any() else size

    def seat(self, sequence: Sequence) -> None:
        """Begin with `sequence`, after what is known of it."""
        known = self.known(sequence)
        self.sequence, self.salt, self.held = sequence, sequence.salt, None
        sequence.done = known
        if sequence.generated == 0:
            sequence.shared = known
        self.native.rewind(known)

    def advance(self, sequence: Sequence) -> None:
        """One token (or the prompt) of the sequence; errors of its constraint are raised."""
        sequence.started = sequence.started or time.monotonic()
        scored = sequence.prefilling and sequence.request.prompt_logprobs is not None
        # Only the last row's logits come back, so a prompt that is to be scored is fed token by token.
        end = sequence.done + 1 if scored else sequence.length
        start = sequence.done
        self.native.append(sequence.tokens[start:end])
        sequence.done = end
        logits = self.native.logits()
        if scored:
            sequence.note_prompt(logits, start)
        if not sequence.prefilling:
            sequence.deliver(sequence, sequence.take(logits) if sequence.request.max_tokens else sequence.empty())

    def leave(self) -> None:
        """The sequence has ended; what was read of it is kept."""
        if self.sequence is not None:
            self.held = self.sequence.tokens[: self.sequence.done].copy()
            self.sequence = None
