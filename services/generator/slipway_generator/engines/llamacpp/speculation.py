"""What each step verifies beside the next token: drafts by prompt lookup, which are free, else those of a draft model, while those pay.

Whether the draft model pays is measured: tokens a second of steps with its drafts beside steps without, for as many sequences as answer. How many drafts are right
does not say it alone, because a draft that is right but slow costs more than it saves. It refuses to know how anything is computed.
"""

import time
from collections.abc import Sequence as Several
from typing import Any, Literal

from slipway_generator.engines.llamacpp.drafter import Drafter
from slipway_generator.engines.llamacpp.seat import Seated

FADE = 0.97
"""What a step still counts after the next one: about the last 33 are compared."""
PLAIN_STEPS, TRIAL_STEPS = 8, 12
"""Steps of either kind before they are compared."""
REFRESH = 64
"""Steps with drafts, while they pay, until one without renews the comparison."""
REST, LONGEST_REST = 256, 4096
"""Steps without drafts after they did not pay; twice as many each time. A trial costs at most about as much as its steps, so in the long run under 1 %."""


class Rate:
    """Tokens a second of one kind of step, the latest counting most."""

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
    """Whether a draft model pays for one number of sequences."""

    def __init__(self) -> None:
        self.plain, self.drafted = Rate(), Rate()
        self._rest = 0
        self._pause = REST
        self._refresh = REFRESH

    def allows(self) -> bool:
        """Whether the next step may be drafted; asked once a step."""
        if self._rest:
            self._rest -= 1
        elif self.plain.steps >= PLAIN_STEPS:
            self._refresh -= 1
            if self._refresh:
                return True
            self._refresh = REFRESH
        return False

    def note(self, *, drafted: bool, seconds: float, tokens: int) -> bool:
        """What a step took and gained; True when drafting rests from now on because it does not pay."""
        (self.drafted if drafted else self.plain).add(seconds, tokens)
        if not drafted or self.drafted.steps < TRIAL_STEPS:
            return False
        if self.drafted.value >= self.plain.value:
            self._pause = REST
            return False
        self._rest, self._pause = self._pause, min(LONGEST_REST, 2 * self._pause)
        return True

    def forget(self) -> None:
        """The next trial begins anew: another text may be easier to draft."""
        self.drafted = Rate()


class Speculation:
    """Drafts for the sequences that answer in a step; the decode thread owns it. Nothing is drafted while more than `most` run."""

    def __init__(self, drafter: Drafter | None, most: int, log: Any) -> None:
        self._drafter = drafter
        self._most = most
        self._log = log
        self._worth = [Worth() for _ in range(most + 1)]
        self._kind: Literal["plain", "drafted", "other"] = "other"
        self._began = 0.0
        self._length = 0

    def propose(self, answering: Several[Seated], running: int) -> None:
        """Give each of `answering` the tokens that this step shall verify, or none; `running` counts those that still read their prompt, too."""
        self._began, self._kind = time.perf_counter(), "other"
        if running > self._most:
            for sequence in answering:
                sequence.forget_draft()
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
        worth = self._worth[len(answering)]
        seconds, tokens = time.perf_counter() - self._began, sum(sequence.length for sequence in answering) - self._length
        if worth.note(drafted=self._kind == "drafted", seconds=seconds, tokens=tokens):
            self._log.info(
                "the draft model rests: it does not pay",
                sequences=len(answering),
                tokens_per_second_with=round(worth.drafted.value, 1),
                tokens_per_second_without=round(worth.plain.value, 1),
            )
            worth.forget()
