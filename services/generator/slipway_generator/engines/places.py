"""Admission for engines whose library batches by itself or does not batch: so many requests at once, so many waiting, the others refused.

It refuses to know what a request is beyond its deadline.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator

from slipway_shared import errors


class Places:
    """`count` places and a queue of `queue` behind them. `running` and `waiting` are what a load report tells."""

    def __init__(self, count: int, queue: int) -> None:
        self.count = count
        self.running = 0
        self.waiting = 0
        self._queue = queue
        self._free = asyncio.Semaphore(count)

    @contextlib.asynccontextmanager
    async def one(self, deadline: float | None = None) -> AsyncGenerator[None]:
        """A place for the length of the block; QueueFull when all are taken and the queue is full, DeadlineExceeded when none came in time."""
        if self._free.locked() and self.waiting >= self._queue:
            raise errors.QueueFull("Every place is taken and the queue is full; try again.", retry_after_seconds=1.0 + self.waiting / 8)
        self.waiting += 1
        try:
            async with asyncio.timeout(None if deadline is None else max(0.0, deadline - time.monotonic())):
                await self._free.acquire()
        except TimeoutError:
            raise errors.DeadlineExceeded("The request's deadline passed before the answer was complete.") from None
        finally:
            self.waiting -= 1
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
            self._free.release()
