"""Several sequences of one request as one stream of (index, delta). It refuses to know what the deltas become."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from slipway_generator.engine import Delta

Indexed = tuple[int, Delta]


async def merge(sources: Sequence[AsyncGenerator[Delta]]) -> AsyncGenerator[Indexed]:
    """The deltas of all sources as they come; closing it closes them all, and the first error ends them all."""
    if len(sources) == 1:
        async with aclosing(sources[0]) as only:
            async for delta in only:
                yield 0, delta
        return
    # Two places a source: a slow reader stops the pumps, not the memory.
    queue: asyncio.Queue[Indexed | None] = asyncio.Queue(maxsize=2 * len(sources))
    tasks = [asyncio.ensure_future(_pump(index, source, queue)) for index, source in enumerate(sources)]
    whole = asyncio.ensure_future(_ended(tasks, queue))
    try:
        while (item := await queue.get()) is not None:
            yield item
        await whole
    finally:
        for task in (*tasks, whole):
            task.cancel()
        for task in (*tasks, whole):
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task


async def _pump(index: int, source: AsyncGenerator[Delta], queue: asyncio.Queue[Indexed | None]) -> None:
    async with aclosing(source) as deltas:
        async for delta in deltas:
            await queue.put((index, delta))


async def _ended(tasks: list[asyncio.Task[None]], queue: asyncio.Queue[Indexed | None]) -> None:
    """Wait for every pump, or for the first that fails; then tell the reader, and hand the failure on."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    await queue.put(None)
    for task in done:
        task.result()
