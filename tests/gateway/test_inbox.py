"""Frames read ahead by one task: how far, how errors come, and what is closed."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from slipway_gateway.inbox import Inbox


async def numbers(seen: list[str], count: int = 100, error: Exception | None = None) -> AsyncGenerator[int]:
    try:
        for number in range(count):
            seen.append(str(number))
            yield number
        if error is not None:
            raise error
    finally:
        seen.append("closed")


async def test_no_more_is_read_than_may_lie_and_leaving_closes_the_source() -> None:
    seen: list[str] = []
    async with Inbox(numbers(seen), 4) as inbox:
        await asyncio.sleep(0.01)
        assert seen == ["0", "1", "2", "3"]
        assert [inbox.take(), inbox.take()] == [0, 1]
        await asyncio.sleep(0.01)
        assert len(seen) == 6 and not inbox.over
    assert seen[-1] == "closed"


async def test_everything_comes_in_order_and_then_it_is_over() -> None:
    seen: list[str] = []
    out: list[int] = []
    async with Inbox(numbers(seen, 50), 3) as inbox:
        while not inbox.over:
            if inbox.empty:
                await inbox.news(None)
            else:
                out.append(inbox.take())
    assert out == list(range(50))


async def test_an_error_comes_after_what_came_before_it() -> None:
    async with Inbox(numbers([], 2, LookupError("cut")), 8) as inbox:
        await asyncio.sleep(0.01)
        assert not inbox.over and [inbox.take(), inbox.take()] == [0, 1]
        with pytest.raises(LookupError, match="cut"):
            _ = inbox.over


async def test_news_ends_by_time_and_by_a_call() -> None:
    async def never() -> AsyncGenerator[int]:
        await asyncio.Event().wait()
        yield 0

    async with Inbox(never(), 1) as inbox:
        await inbox.news(0.01)
        waiting = asyncio.create_task(inbox.news(None))
        await asyncio.sleep(0)
        inbox.wake()
        await waiting
        assert inbox.empty and not inbox.over
