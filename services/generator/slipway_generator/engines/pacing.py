"""Words that one step yields together, spread over the time until the next step's: a stream flows evenly though drafts come in lumps.

What the next step will take is what the last one took. Nothing waits longer than that: what is left when the next words come goes before them, and the last
words of an answer go at once. It refuses to know engines and mailboxes.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

from slipway_generator.engine import Delta

MOST_SECONDS = 0.2
"""Steps that read long prompts between the words take longer; words do not wait for as long as that."""
To = TypeVar("To")


class Pacing(Generic[To]):
    """Items for addressees, in order. It belongs to the event loop."""

    def __init__(self, put: Callable[[To, Delta | Exception], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._put = put
        self._later: deque[tuple[float, To, Delta]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def take(self, items: Sequence[tuple[To, Delta | Exception]], seconds: float) -> None:
        """What a step of so many `seconds` had for everybody."""
        self._let_go(math.inf)
        now, later = self._loop.time(), list[tuple[float, To, Delta]]()
        for to, item in items:
            if isinstance(item, Exception) or not item.pieces or not seconds:
                self._put(to, item)
                continue
            gap = min(seconds, MOST_SECONDS) / item.places
            # Fewer than could have come are put in the middle of their time, or a pause as long as the step would follow.
            offset = gap * (item.places - len(item.tokens)) / 2
            for at, part in split(item):
                if at or offset:
                    later.append((now + offset + at * gap, to, part))
                else:
                    self._put(to, part)
        self._later.extend(sorted(later, key=lambda entry: entry[0]))
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._later[0][0], self._due) if self._later else None

    def _due(self) -> None:
        self._let_go(self._loop.time())
        self._arm()

    def _let_go(self, until: float) -> None:
        while self._later and self._later[0][0] <= until:
            _, to, part = self._later.popleft()
            self._put(to, part)


def split(delta: Delta) -> Iterator[tuple[int, Delta]]:
    """A delta for each token that has text (those without go with the next), and the place of its first token."""
    start, last = 0, len(delta.tokens) - 1
    for at, text in enumerate(delta.pieces):
        if not text and at < last:
            continue
        tokens, scores = delta.tokens[start : at + 1], delta.logprobs[start : at + 1]
        yield (
            start,
            replace(
                delta, text=text, tokens=tokens, logprobs=scores, prompt_logprobs=delta.prompt_logprobs if not start else None, pieces=()
            ),
        )
        start = at + 1
