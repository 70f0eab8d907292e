"""Gate, pace and adaptive limit by themselves: exact counts, order, predictions."""

import asyncio

import pytest
from slipway_gateway.admission import Gate, Load
from slipway_gateway.concurrency import Adaptive
from slipway_gateway.pace import BELIEVED_SECONDS, Pace
from slipway_shared import errors


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def gate(at_once: int = 1, queue_tokens: int = 100, pace: Pace | None = None) -> Gate:
    return Gate("p", Adaptive(at_once, at_once), pace or Pace(), queue_tokens=queue_tokens)


async def test_who_is_cancelled_while_waiting_takes_nothing_along() -> None:
    one = gate()
    load = Load(10, 10)
    await one.enter(load, None)
    waiting = [asyncio.create_task(one.enter(load, None)) for _ in range(3)]
    await asyncio.sleep(0)
    assert (one.running, one.waiting, one.queued_tokens) == (1, 3, 60)
    waiting[1].cancel()
    await asyncio.gather(waiting[1], return_exceptions=True)
    assert (one.waiting, one.queued_tokens) == (2, 40)
    one.leave(load)
    waiting[0].cancel()  # in the very moment in which its turn came
    await asyncio.gather(waiting[0], return_exceptions=True)
    await asyncio.wait_for(waiting[2], 1)
    assert (one.running, one.waiting, one.queued_tokens) == (1, 0, 0)
    one.leave(load)
    assert one.free


async def test_a_deadline_that_cannot_be_met_is_refused_before_it_waits_and_one_that_passes_is_told() -> None:
    pace = Pace()
    pace.finished(100, 1.0, 1)  # a hundred tokens a second
    one = gate(pace=pace, queue_tokens=10_000)
    load = Load(0, 1000)
    await one.enter(load, None)
    assert one.wait_seconds(load) == pytest.approx(10, rel=0.01)
    with pytest.raises(errors.Overloaded, match=r"due in 2\.0 s") as refused:
        await one.enter(load, 2.0)
    assert refused.value.error_code == "deadline_unattainable"
    slow = gate(pace=Pace())
    await slow.enter(Load(1, 1), None)
    with pytest.raises(errors.DeadlineExceeded):
        await slow.enter(Load(1, 1), 0.05)
    assert (slow.running, slow.waiting, slow.queued_tokens) == (1, 0, 0)


async def test_the_queue_is_bounded_by_tokens_not_by_requests() -> None:
    one = gate(queue_tokens=100)
    await one.enter(Load(1, 1), None)
    waiting = [asyncio.create_task(one.enter(Load(1, 1), None)) for _ in range(40)]
    await asyncio.sleep(0)
    assert one.queued_tokens == 80
    with pytest.raises(errors.QueueFull):
        await one.enter(Load(11, 10), None)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert one.queued_tokens == 0


def test_the_limit_falls_by_tenths_and_rises_only_where_it_is_used() -> None:
    limit = Adaptive(10, 12)
    for _ in range(1000):
        limit.succeeded(running=2)
    assert limit.limit == 10
    for _ in range(1000):
        limit.succeeded(running=9)
    assert limit.limit == 12
    for _ in range(100):
        limit.overloaded()
    assert limit.limit == 1


def test_predictions_follow_prompt_size_are_forgotten_and_begin_with_the_release() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert pace.predict(100, {}).ttft_ms is None
    assert pace.predict(100, {"ttft_ms": 40.0, "tpot_ms": 9.0}).tpot_ms == 9.0
    for _ in range(40):
        pace.first_token(200, 0.1)
        pace.finished(50, 0.5, 1)
    seen = pace.predict(200, {"ttft_ms": 4000.0})
    assert seen.ttft_ms == pytest.approx(100, rel=0.1)
    assert seen.tpot_ms == pytest.approx(10, rel=0.1)
    assert pace.predict(1600, {}).ttft_ms == pytest.approx(800, rel=0.1)  # eight times as long
    assert pace.predict(10, {}).ttft_ms == pytest.approx(100, rel=0.1)
    clock.now += BELIEVED_SECONDS + 1
    assert pace.predict(200, {}).ttft_ms is None
