"""Hedged calls: off by default, the first answer wins, the other call is ended, and the budget bounds them."""

import asyncio
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter
from slipway_gateway.hedging import BURST, Hedge
from slipway_shared import errors


@pytest.fixture
def count() -> Counter:
    return Counter("hedges", "second calls", registry=CollectorRegistry())


def total(count: Counter) -> float:
    return count._value.get()  # pyright: ignore[reportPrivateUsage]


class Part:
    """Answers its calls after the delays that it was given; knows who was ended."""

    def __init__(self, *script: float | errors.SlipwayError) -> None:
        self.script = list(script)
        self.calls = 0
        self.ended = 0

    async def ask(self) -> int:
        number = self.calls
        self.calls += 1
        step = self.script[number % len(self.script)]
        if isinstance(step, errors.SlipwayError):
            raise step
        try:
            await asyncio.sleep(step)
        except asyncio.CancelledError:
            self.ended += 1
            raise
        return number


async def test_a_late_call_is_made_twice_and_the_loser_is_ended(count: Counter) -> None:
    part = Part(30, 0)
    assert await Hedge(0.02, count).call(part.ask) == 1
    assert (part.calls, part.ended, total(count)) == (2, 1, 1)


async def test_a_call_in_time_is_made_once(count: Counter) -> None:
    part = Part(0)
    assert await Hedge(5, count).call(part.ask) == 0
    assert (part.calls, total(count)) == (1, 0)


async def test_off_is_off(count: Counter) -> None:
    part = Part(0.05)
    assert await Hedge(0, count).call(part.ask) == 0
    assert part.calls == 1


async def test_an_error_of_one_call_does_not_hide_the_other(count: Counter) -> None:
    failed = errors.UpstreamFailed("no")
    assert await Hedge(0.02, count).call(Part(0.1, failed).ask) == 0
    with pytest.raises(errors.UpstreamFailed):
        await Hedge(0.02, count).call(Part(failed).ask)


async def test_the_budget_bounds_hedges(count: Counter) -> None:
    hedge, part = Hedge(0.001, count), Part(0.01)
    for _ in range(40):
        await hedge.call(part.ask)
    assert total(count) <= BURST + 40 * 0.05
    assert total(count) >= BURST


async def test_a_caller_that_leaves_ends_both(count: Counter) -> None:
    part = Part(30, 30)
    asked = asyncio.ensure_future(Hedge(0.01, count).call(part.ask))
    while part.calls < 2:
        await asyncio.sleep(0.005)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert part.ended == 2


async def test_a_slow_search_is_hedged_through_the_gateway(start: Any) -> None:
    async with start(hedge_seconds=0.05, reranker_url=None, safety_url=None) as platform:
        original = platform.retriever.handle
        asked = 0

        async def first_is_slow(request: Any) -> Any:
            nonlocal asked
            asked += 1
            if asked == 1:
                await asyncio.sleep(30)
            return await original(request)

        platform.retriever.intercept = first_is_slow
        assert (await platform.chat(model="reader"))["choices"]
        assert asked == 2
