"""Drafts by prompt lookup for a full batch: where the text repeats, every sequence verifies a token or a few more in the same pass over the weights.

Few sequences gain from long drafts, because a step that decodes one row has nearly all of its compute to spare; they are drafted for elsewhere. In a full batch
a further row of each has a price. It is learnt from the steps, as is how often each sequence's lookup is right, which is noted whether it was drafted or not. A
step is filled only where the tokens that it may gain outweigh that price. It refuses to know the context and how drafts are found.
"""

from collections.abc import Sequence

from slipway_generator.engines.llamacpp.rate import Rate
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
WEIGHT = 0.2


class Filling:
    """How many tokens each sequence of a full batch verifies besides its next one; the decode thread owns it."""

    def __init__(self) -> None:
        self._plain: dict[int, Rate] = {}
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
        plain = self._plain.setdefault(sequences, Rate())
        if not drafted:
            plain.add(seconds, 1)
            return
        price, seen = self._prices.get(sequences, PRICE), (seconds * plain.value - 1) / drafted
        # An interruption is no price: a row more of each can hardly cost more than a step of its own.
        self._prices[sequences] = price + WEIGHT * (min(max(seen, 0.0), 1.0) - price)

    def _choose(self, answering: Sequence[Seated]) -> int:
        count = len(answering)
        most = min(ROWS // count - 1, LONGEST, *(sequence.room for sequence in answering))
        if most < 1 or any(not sequence.draws or sequence.length - sequence.done != 1 for sequence in answering):
            return 0
        found = [(sequence.look_up(most), sequence.odds) for sequence in answering]
        if self._plain.setdefault(count, Rate()).steps < PLAIN_STEPS:
            return 0
        price, best, gain = self._prices.get(count, PRICE), 0, MARGIN
        for drafted in range(1, most + 1):
            tokens = 1 + sum(sum(odds**at for at in range(1, min(drafted, length) + 1)) for length, odds in found) / count
            if tokens / (1 + drafted * price) > gain:
                best, gain = drafted, tokens / (1 + drafted * price)
        self._filled = self._filled + 1 if best else 0
        return best if self._filled % REFRESH else 0
