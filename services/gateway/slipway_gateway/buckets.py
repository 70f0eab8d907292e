"""The arithmetic of limits in this process: what limits.lua does in Redis, for an installation without it and for the time that it is away.

It knows buckets and a clock. It refuses to know keys and HTTP.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from slipway_gateway.keys import Limits


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose use is counted, and what it may be: `numbers` are requests and tokens a minute, streams, micro-dollars a month; 0 means without limit."""

    name: str
    limits: Limits
    numbers: tuple[int, int, int, int] = field(init=False)

    def __post_init__(self) -> None:
        it = self.limits
        numbers = (it.requests_per_minute or 0, it.tokens_per_minute or 0, it.concurrent_streams or 0, round((it.budget_usd or 0) * 1e6))
        object.__setattr__(self, "numbers", numbers)


class Use(NamedTuple):
    """What one request takes: reserved by an estimate, settled by what it was.

    `micros` are micro-dollars and not rounded, so that small requests of cheap models add up. `paid` is told on settling: the micro-dollars that it cost.
    """

    requests: int = 1
    tokens: int = 0
    micros: float = 0
    stream: bool = False
    paid: float = 0


class Decision(NamedTuple):
    """`scope` and `dimension` name what refused. `left` holds (requests, tokens) per scope."""

    admitted: bool
    left: tuple[tuple[int, int], ...]
    scope: int = 0
    dimension: str = ""
    wait_seconds: float = 0.0


@dataclass(slots=True)
class _State:
    requests: float
    tokens: float
    at: float
    month: str
    scope: Scope
    shared: tuple[int, int, int, int]
    """The part of the scope's numbers that this process may give out."""
    spent: float = 0
    """Micro-dollars of this month, with those that running requests reserved."""
    used: float = 0
    """Micro-dollars of this month that were paid."""
    streams: dict[str, float] = field(default_factory=dict)


class LocalBuckets:
    """Buckets in memory; `share` is the part of each limit that this process may give out by itself."""

    def __init__(self, *, share: float = 1.0, clock: Callable[[], float] = time.time) -> None:
        self._share = share
        self._clock = clock
        self._states: dict[str, _State] = {}
        self._hour, self._month = -1, ""

    def reserve(self, scopes: Sequence[Scope], request: str, use: Use, lease_seconds: float) -> Decision:
        """Takes `use` from every scope, or from none."""
        now = self._clock()
        states = [self._state(scope, now) for scope in scopes]
        refusals = [(wait, index, dimension) for index, state in enumerate(states) for dimension, wait in _refusals(state, use, now)]
        if refusals:
            wait, index, dimension = max(refusals)
            return Decision(False, self._left(states), index, dimension, wait)
        for state in states:
            state.requests -= use.requests
            state.tokens -= use.tokens
            state.spent += use.micros
            if use.stream:
                state.streams[request] = now + lease_seconds
        return Decision(True, self._left(states))

    def settle(self, scopes: Sequence[Scope], request: str, back: Use) -> Decision:
        """Gives back (or takes in addition, below zero) what the estimate missed, and ends the stream."""
        now = self._clock()
        states = [self._state(scope, now) for scope in scopes]
        for state in states:
            state.tokens = min(state.shared[1], state.tokens + back.tokens)
            state.spent = max(0, state.spent - back.micros)
            state.used += back.paid
            state.streams.pop(request, None)
        return Decision(True, self._left(states))

    def used(self, scope: Scope) -> float:
        """Micro-dollars that were paid in `scope` this month."""
        return self._state(scope, self._clock()).used

    def _state(self, scope: Scope, now: float) -> _State:
        hour = int(now // 3600)
        if hour != self._hour:
            self._hour, self._month = hour, month_of(now)
        state = self._states.get(scope.name)
        if state is None:
            if len(self._states) > 100_000:
                self._states.clear()
            rpm, tpm, _, _ = shared = self._shared(scope)
            state = self._states[scope.name] = _State(rpm, tpm, now, self._month, scope, shared)
        elif state.scope is not scope:
            state.scope, state.shared = scope, self._shared(scope)
        rpm, tpm, _, _ = state.shared
        passed = max(0.0, now - state.at)
        state.requests = min(rpm, state.requests + passed * rpm / 60)
        state.tokens = min(tpm, state.tokens + passed * tpm / 60)
        state.at = now
        if state.month != self._month:
            state.month, state.spent, state.used = self._month, 0, 0
        return state

    def _shared(self, scope: Scope) -> tuple[int, int, int, int]:
        rpm, tpm, streams, budget = (math.ceil(number * self._share) for number in scope.numbers)
        return rpm, tpm, streams, budget

    @staticmethod
    def _left(states: Sequence[_State]) -> tuple[tuple[int, int], ...]:
        return tuple([(math.floor(state.requests), math.floor(state.tokens)) for state in states])  # a list is half a generator's time


def _refusals(state: _State, use: Use, now: float) -> list[tuple[str, float]]:
    rpm, tpm, streams, budget = state.shared
    out: list[tuple[str, float]] = []
    if rpm and state.requests < use.requests:
        out.append(("requests", (use.requests - state.requests) * 60 / rpm))
    needed = min(use.tokens, tpm)
    if tpm and state.tokens < needed:
        out.append(("tokens", (needed - state.tokens) * 60 / tpm))
    if streams and use.stream:
        for request in [request for request, due in state.streams.items() if due <= now]:
            del state.streams[request]
        if len(state.streams) >= streams:
            out.append(("streams", 1.0))
    # A budget refuses what costs money; what is free neither needs one nor waits for the next month.
    if budget and use.micros > 0 and state.spent + use.micros > budget:
        out.append(("budget", 3600.0))
    return out


def month_of(now: float) -> str:
    """The calendar month (UTC) that a budget counts for, as `2026-11`."""
    return time.strftime("%Y-%m", time.gmtime(now))
