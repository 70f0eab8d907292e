"""A second call where the first is late: the answer that comes first is taken, the other call is ended.

After Dean and Barroso 2013 (The Tail at Scale): the second call starts after a delay near the usual 95th percentile, and hedges are a bounded share
of all calls, so that a slow part is not asked twice by everybody. It is for calls that may be made twice, and refuses to know what they ask.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from prometheus_client import Counter

T = TypeVar("T")
SHARE = 0.05
"""Hedges in calls, in the long run."""
BURST = 5.0


class Hedge:
    """One part's hedging. `seconds` 0 turns it off; `count` counts the second calls."""

    def __init__(self, seconds: float, count: Counter) -> None:
        self._seconds = seconds
        self._count = count
        self._budget = BURST

    async def call(self, make: Callable[[], Awaitable[T]]) -> T:
        """The result of `make()`, perhaps made twice; an error of one call counts only when the other has none to give."""
        if not self._seconds:
            return await make()
        self._budget = min(BURST, self._budget + SHARE)
        tasks = [asyncio.ensure_future(make())]
        try:
            done, _ = await asyncio.wait(tasks, timeout=self._seconds)
            if not done and self._budget >= 1:
                self._budget -= 1
                self._count.inc()
                tasks.append(asyncio.ensure_future(make()))
            return await _first(tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _first(tasks: Sequence["asyncio.Future[T]"]) -> T:
    pending = set(tasks)
    while True:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        good = next((task for task in done if task.exception() is None), None)
        if good is not None or not pending:
            return (good or done.pop()).result()
