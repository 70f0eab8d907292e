"""How fast a pool answers: time to first token by prompt size and time per output token, as measured on its live answers, before that by its release.

Means and deviations are kept as TCP keeps round-trip times (Jacobson 1988): a prediction is mean plus twice the mean deviation, about a 95th percentile.
It knows milliseconds. It refuses to know requests and to decide.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

GAIN = 0.125
SPREAD = 0.25
BELIEVED_SECONDS = 30.0
"""A figure that nobody confirmed for this long is not held against a pool: else one that was slow once would never be asked again."""


@dataclass(slots=True)
class _Mean:
    mean: float
    deviation: float
    seen: float

    def add(self, value: float, now: float) -> None:
        error = value - self.mean
        self.mean += GAIN * error
        self.deviation += SPREAD * (abs(error) - self.deviation)
        self.seen = now

    @property
    def high(self) -> float:
        return self.mean + 2 * self.deviation


@dataclass(frozen=True, slots=True)
class Prediction:
    """Milliseconds; None where nobody knows."""

    ttft_ms: float | None
    tpot_ms: float | None


class Pace:
    """The live figures of one pool."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first: dict[int, _Mean] = {}
        self._each: _Mean | None = None
        self._rate: _Mean | None = None

    def first_token(self, prompt_tokens: int, seconds: float) -> None:
        """The first token of an answer came after `seconds`."""
        size = _size(prompt_tokens)
        if size in self._first:
            self._first[size].add(seconds * 1e3, self._clock())
        else:
            self._first[size] = _Mean(seconds * 1e3, seconds * 0.25e3, self._clock())

    def finished(self, tokens: int, seconds: float, running: int) -> None:
        """An answer's `tokens` after the first took `seconds`, while `running` ran."""
        if tokens < 1 or seconds <= 0:
            return
        each, rate = seconds * 1e3 / tokens, tokens / seconds * max(1, running)
        if self._each is None or self._rate is None:
            self._each, self._rate = _Mean(each, each / 4, self._clock()), _Mean(rate, rate / 4, self._clock())
        else:
            self._each.add(each, self._clock())
            self._rate.add(rate, self._clock())

    def predict(self, prompt_tokens: int, released: Mapping[str, float]) -> Prediction:
        """What a request of that size may expect when it is not queued. `released`: the release's own figures, `ttft_ms` and `tpot_ms`."""
        oldest = self._clock() - BELIEVED_SECONDS
        size = _size(prompt_tokens)
        known = {at: one for at, one in self._first.items() if one.seen >= oldest}
        nearest = min(known, key=lambda at: (abs(at - size), at), default=None)
        ttft = released.get("ttft_ms")
        if nearest is not None:
            # A prompt twice as long is read twice as long; a shorter one is not promised less than was seen.
            ttft = known[nearest].high * 2.0 ** max(0, size - nearest)
        tpot = self._each.high if self._each is not None and self._each.seen >= oldest else released.get("tpot_ms")
        return Prediction(ttft, tpot)

    @property
    def tokens_per_second(self) -> float | None:
        """Of the whole pool; None while unknown."""
        return self._rate.mean if self._rate is not None else None


def _size(prompt_tokens: int) -> int:
    """Prompts between two powers of two are of one size; everything below 64 tokens is the smallest."""
    return max(6, prompt_tokens.bit_length())
