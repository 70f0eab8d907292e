"""The breaker against a model of itself, and retries against their budget."""

import contextlib

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from slipway_gateway.breaker import Breaker, Pass, RetryBudget
from slipway_shared import errors

FAILURES, OPEN_SECONDS = 5, 10.0


class BreakerModel(RuleBasedStateMachine):
    """Calls overlap and end in any order; time only goes forward. The model is four variables."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.breaker = Breaker("part", failures=FAILURES, open_seconds=OPEN_SECONDS, clock=lambda: self.now)
        self.running: list[Pass] = []
        self.row = 0
        self.open_since: float | None = None
        self.probe: Pass | None = None

    @rule()
    def enter(self) -> None:
        due = self.open_since is None or (self.now >= self.open_since + OPEN_SECONDS and self.probe is None)
        if not due:
            with pytest.raises(errors.UpstreamFailed):
                self.breaker.enter()
            return
        given = self.breaker.enter()
        assert given.probe == (self.open_since is not None)
        if given.probe:
            self.probe = given
        self.running.append(given)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), failed=st.sampled_from([True, True, False, None]))
    def leave(self, data: st.DataObject, failed: bool | None) -> None:
        given = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.breaker.leave(given, failed=failed)
        if given is self.probe:
            self.probe = None
        elif self.open_since is not None:
            return
        if failed is None:
            return
        self.row = self.row + 1 if failed else 0
        if not failed:
            self.open_since = None
        elif given.probe or self.row >= FAILURES:
            self.open_since = self.now

    @rule(seconds=st.floats(0, 15))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def agrees(self) -> None:
        assert self.breaker.is_open == (self.open_since is not None)


TestBreakerModel = BreakerModel.TestCase
TestBreakerModel.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)


def test_retries_stay_under_a_tenth_of_the_calls() -> None:
    budget = RetryBudget()
    retries = 0
    for _ in range(1000):
        budget.call()
        retries += budget.spend()
    assert retries <= 103
    assert retries >= 90


def test_a_refused_call_says_when_to_come_back() -> None:
    breaker = Breaker("part", failures=1, open_seconds=7.0, clock=lambda: 0.0)
    breaker.leave(breaker.enter(), failed=True)
    with pytest.raises(errors.UpstreamFailed) as caught, contextlib.nullcontext():
        breaker.enter()
    assert caught.value.retry_after_seconds == 7.0
