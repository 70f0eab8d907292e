"""Drafts by prompt lookup for a full batch: where the text repeats, every sequence verifies a token or a few more in the same pass over the weights.

Few sequences gain from long drafts, because a step that decodes one row has nearly all of its compute to spare; they are drafted for elsewhere. In a full batch
a further row of each has a price. It is learnt from the steps, as is how often each sequence's lookup is right, which is noted whether it was drafted or not. A
step is filled only where the tokens that it may gain outweigh that price. It refuses to know the context and how drafts are found.
"""

from collections.abc import Sequence

from slipway_generator.engines.llamacpp.seat import Seated

ROWS = 16
"""Rows of a filled step: what AMX's tiles hold, and where other kernels' price of a row stops falling (100M q8_0, 8 sequences of 1, 2 and 4 rows: 19, 23 and 37 ms
with AMX, 37, 56 and 96 without; by hand)."""
LONGEST = 3
PRICE = 0.4
"""What a row more of every sequence is thought to cost before it is known, as a share of a plain step."""
MARGIN = 1.05
PLAIN_STEPS = 8
REFRESH = 64
"""Filled steps until a plain one renews what it is compared with."""
WEIGHT = 0.3
"""Of the latest step, in what steps are thought to take and to cost more."""
FORGET = 0.05
"""How far a plain step moves the price back to where it began: contexts grow and change, and what was too dear once is tried again."""


class Filling:
    """How many tokens each sequence of a full batch verifies besides its next one; the decode thread owns it."""

    def __init__(self) -> None:
        self._plain: dict[int, float] = {}
        self._steps: dict[int, int] = {}
        self._prices: dict[int, float] = {}
        self._filled = 0

    def propose(self, answering: Sequence[Seated]) -> int:
        """Draft equally many tokens for each of `answering`, and say how many. Equally many, because what one has beyond the others is a pass of its own."""
        count = self._choose(answering)
        if count:
            for sequence in answering:
                sequence.draft_foretold(count)
        return count

    def note(self, sequences: int, drafted: int, seconds: float) -> None:
        """What a step of so many sequences took."""
        price, plain = self._prices.get(sequences, PRICE), self._plain.get(sequences, seconds)
        if not drafted:
            self._steps[sequences] = self._steps.get(sequences, 0) + 1
            self._plain[sequences] = plain + WEIGHT * (seconds - plain)
            self._prices[sequences] = price + FORGET * (PRICE - price)
            return
        # An interruption is no price: a row more of each can hardly cost more than a step of its own.
        seen = min(max((seconds / plain - 1) / drafted, 0.0), 1.0)
        self._prices[sequences] = price + WEIGHT * (seen - price)

    def _choose(self, answering: Sequence[Seated]) -> int:
        count = len(answering)
        most = min(ROWS // count - 1, LONGEST, *(sequence.room for sequence in answering))
        if most < 1 or any(not sequence.draws or sequence.length - sequence.done != 1 for sequence in answering):
            return 0
        found = [(sequence.look_up(most), sequence.odds) for sequence in answering]
        if self._steps.get(count, 0) < PLAIN_STEPS:
            return 0
        price, best, gain = self._prices.get(count, PRICE), 0, MARGIN
        for drafted in range(1, most + 1):
            tokens = 1 + sum(sum(odds**at for at in range(1, min(drafted, length) + 1)) for length, odds in found) / count
            if tokens / (1 + drafted * price) > gain:
                best, gain = drafted, tokens / (1 + drafted * price)
        self._filled = self._filled + 1 if best else 0
        return best if self._filled % REFRESH else 0
