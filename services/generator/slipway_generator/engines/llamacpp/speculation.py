"""What each step verifies beside the next token: drafts by prompt lookup, which are free, else those of a draft model, while those pay.

Whether the draft model pays is measured: the tokens that its steps gained beside those that plain steps gain in the same time, for as many sequences as answer. How
many drafts are right does not say it alone, because a draft that is right but slow costs more than it saves. It refuses to know how anything is computed.
"""

import time
from collections.abc import Sequence as Several
from typing import Any, Literal

from slipway_generator.engines.llamacpp.drafter import Drafter
from slipway_generator.engines.llamacpp.filling import Filling
from slipway_generator.engines.llamacpp.seat import Seated

FADE = 0.97
"""What a plain step still counts after the next one: the rate is that of about the last 33."""
PLAIN_STEPS = 8
"""Plain steps before the first draft."""
REFRESH = 64
"""Steps with drafts, while they pay, until one without renews the rate."""
LOSS = 16.0
"""Tokens that drafts may have cost on balance before they rest."""
PATIENCE = 50
"""Tokens without drafts for each token that they have cost: where they never pay, speed stays within about 2 % of what it is without a draft model."""


class Rate:
    """Tokens a second, the latest steps counting most."""

    def __init__(self) -> None:
        self.steps = 0
        self._seconds = self._tokens = 0.0

    def add(self, seconds: float, tokens: int) -> None:
        """One more step."""
        self.steps += 1
        self._seconds = FADE * self._seconds + seconds
        self._tokens = FADE * self._tokens + tokens

    @property
    def value(self) -> float:
        """Tokens a second; 0 before the first step."""
        return self._tokens / self._seconds if self._seconds else 0.0


class Worth:
    """Whether a draft model pays for `sequences` that answer at once: the cumulative sum of what its steps cost (Page 1954) against plain steps."""

    def __init__(self, sequences: int) -> None:
        self.plain = Rate()
        self._sequences = sequences
        self._lost = 0.0
        self._rest = 0.0
        self._refresh = REFRESH

    def allows(self) -> bool:
        """Whether the next step may be drafted; asked once a step."""
        if self._rest > 0:
            self._rest -= self._sequences
        elif self.plain.steps >= PLAIN_STEPS:
            self._refresh -= 1
            if self._refresh:
                return True
            self._refresh = REFRESH
        return False

    def note(self, *, drafted: bool, seconds: float, tokens: int) -> bool:
        """What a step took and gained; True when drafting rests from now on because it does not pay."""
        if not drafted:
            self.plain.add(seconds, tokens)
            return False
        # A single step counts for no more than half the limit: it may be the first of many and have read a whole prompt.
        self._lost = max(0.0, self._lost + min(LOSS / 2, seconds * self.plain.value - tokens))
        if self._lost < LOSS:
            return False
        self._rest, self._lost = PATIENCE * self._lost, 0.0
        return True


class Speculation:
    """Drafts for the sequences that answer in a step; the decode thread owns it. While more than `most` run, drafts only fill what a step has to spare."""

    def __init__(self, drafter: Drafter | None, most: int, log: Any) -> None:
        self._drafter = drafter
        self._most = most
        self._log = log
        self._worth = [Worth(sequences) for sequences in range(most + 1)]
        self._filling = Filling()
        self._filled = 0
        self._kind: Literal["plain", "drafted", "full", "other"] = "other"
        # The decode thread's own processor time: what other processes take says nothing about drafts.
        self._began = 0.0
        self._length = 0

    def propose(self, answering: Several[Seated], running: int) -> None:
        """Give each of `answering` the tokens that this step shall verify, or none; `running` counts those that still read their prompt, too."""
        self._began, self._kind = time.thread_time(), "other"
        if running > self._most:
            for sequence in answering:
                sequence.forget_draft()
            self._filled, self._kind = self._filling.propose(answering) if len(answering) > self._most else 0, "full"
            return
        for sequence in answering:
            sequence.propose()
        if self._drafter is None or not answering:
            return
        looked_up = any(len(sequence.draft) for sequence in answering)
        if self._worth[len(answering)].allows():
            self._drafter.propose(answering)
        if not looked_up:
            self._kind = "drafted" if any(len(sequence.draft) for sequence in answering) else "plain"
        self._length = sum(sequence.length for sequence in answering)

    def note(self, answering: Several[Seated], *, read: bool) -> None:
        """The step is over; one that also `read` prompts tells nothing about drafts."""
        if self._kind == "other" or read:
            return
        seconds = time.thread_time() - self._began
        if self._kind == "full":
            self._filling.note(len(answering), self._filled, seconds)
            return
        worth, tokens = self._worth[len(answering)], sum(sequence.length for sequence in answering) - self._length
        if worth.note(drafted=self._kind == "drafted", seconds=seconds, tokens=tokens):
            self._log.info(
                "the draft model rests: it does not pay", sequences=len(answering), tokens_per_second_without=round(worth.plain.value, 1)
            )
