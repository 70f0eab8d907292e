"""Drafting: how long a draft pays, learnt from each verdict, and drafts by prompt lookup.

Prompt lookup guesses the tokens that followed the same words before, in the prompt or in the answer so far (Saxena 2023). It refuses to know who verifies.
"""

import numpy as np
from numpy.typing import NDArray

GRAM = 3
"""Tokens that must repeat before a copy is guessed; two give many wrong guesses, four miss the beginnings of quotations."""
FIRST = 4
REST = 16
LONGEST_REST = 256
ODDS = 0.4
"""What a lookup is trusted before it has been seen to be right or wrong."""
ODDS_WEIGHT = 0.1


class Pace:
    """How long the next draft of one sequence may be (at most `longest`), and when drafting rests because it fails."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._length = min(FIRST, longest)
        self._rest_until = 0
        self._pause = REST

    def allowed(self, length: int, room: int) -> int:
        """Tokens that may be drafted for a sequence of `length` tokens with `room` for more."""
        return max(0, min(room, self._length)) if length >= self._rest_until else 0

    def judge(self, length: int, drafted: int, right: int) -> None:
        """What became of a draft (`length`: of the sequence now): right lets the next be longer, mostly wrong shorter, and failing at the shortest rests."""
        if right == drafted:
            self._length = min(self._longest, max(self._length, 2 * drafted))
            self._pause = REST
        elif 2 * right < drafted:
            if self._length <= 2 or right == 0:
                self._rest_until = length + self._pause
                self._pause = min(LONGEST_REST, 2 * self._pause)
            self._length = max(2, self._length // 2)


class PromptLookup:
    """Drafts for one sequence, as long as `pace` allows. `odds`: how often the first token that `guess` gave was right lately."""

    def __init__(self, longest: int) -> None:
        self.pace = Pace(longest)
        self.odds = ODDS
        self._follows: dict[tuple[int, ...], int] = {}
        self._seen = 0

    def propose(self, tokens: NDArray[np.int32], room: int) -> NDArray[np.int32]:
        """At most `room` tokens that may follow `tokens` (all of the sequence); empty when nothing repeats or drafting does not pay here."""
        return self.guess(tokens, self.pace.allowed(len(tokens), room))

    def note(self, *, right: bool) -> None:
        """What became of the first token of a guess."""
        self.odds += ODDS_WEIGHT * (right - self.odds)

    def guess(self, tokens: NDArray[np.int32], count: int) -> NDArray[np.int32]:
        """`count` tokens that may follow `tokens`; empty when nothing repeats."""
        if count == 0 or len(tokens) <= GRAM:
            return NO_TOKENS
        self._learn(tokens)
        at = self._follows.get(tuple(tokens[-GRAM:].tolist()))
        if at is None:
            return NO_TOKENS
        # Where the copy runs into the end of the text, it goes on with itself: text that repeats with a short period.
        period = len(tokens) - at
        return tokens[at + np.arange(count) % period]

    def _learn(self, tokens: NDArray[np.int32]) -> None:
        """Note what followed each run of GRAM tokens; the latest wins. Done only when a draft is wanted, so that it costs nothing while drafting is off."""
        start = max(0, self._seen - GRAM)
        fresh = tokens[start:].tolist()
        for at in range(GRAM, len(fresh)):
            self._follows[tuple(fresh[at - GRAM : at])] = start + at
        self._seen = len(tokens)


NO_TOKENS = np.empty(0, dtype=np.int32)
