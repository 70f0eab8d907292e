"""A sequence with its seat in the batch: slot and cells of the KV memory, and its rows in the current step. It refuses to know the library."""

from dataclasses import dataclass, field

import numpy as np

from slipway_generator.engines.llamacpp.ledger import Cells
from slipway_generator.engines.sequence import Sequence


@dataclass(eq=False)
class Seated(Sequence):
    """`slot` is -1 without a seat. `output` is the index of its first row of logits in this step, `chunk` how many
    rows of logits (or of prompt) are its own, `unread` how many of its tokens this step reads for the first time. `flowing`: its answer has gone on after the
    first word."""

    slot: int = -1
    cells: Cells = field(default_factory=lambda: np.empty(0, dtype=np.int32))
    output: int = -1
    chunk: int = 0
    unread: int = 0
    flowing: bool = False

    @property
    def need(self) -> int:
        """KV cells in the worst case. The last token that is generated is never fed back."""
        return len(self.request.prompt) + max(0, self.request.max_tokens - 1)
