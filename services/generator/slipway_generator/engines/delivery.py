"""From an engine's thread to the coroutines that wait: one wake-up of the event loop a step, whatever the number of callers.

It refuses to know what is delivered beyond that a delta may be the last.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator

from slipway_generator.engine import Delta
from slipway_generator.engines.pacing import Pacing
from slipway_generator.engines.sequence import Sequence

Item = Delta | Exception
GATHER_TURNS = 4
"""Turns of the event loop that a request lets pass before it is submitted: those that arrive with it join its first step instead of waiting for it to end
(tens of milliseconds). An idle loop's turn takes about 10 microseconds."""


class Delivery:
    """The mailboxes of one engine. `deliver` and `flush` belong to the engine's thread, the rest to the event loop. `even`: streams are paced."""

    def __init__(self, *, even: bool = False) -> None:
        self._loop = asyncio.get_running_loop()
        self._pacing = Pacing[Sequence](self._put)
        self._even = even
        self._flushed = time.monotonic()
        self._mailboxes: dict[Sequence, _Mailbox] = {}
        self._outgoing: list[tuple[Sequence, Item]] = []

    def deliver(self, sequence: Sequence, item: Item) -> None:
        """Something for the caller of `sequence`; it leaves with the next `flush`."""
        self._outgoing.append((sequence, item))

    def flush(self) -> None:
        """Send what one step had for all its callers."""
        if self._outgoing:
            items, self._outgoing = self._outgoing, []
            now = time.monotonic()
            seconds, self._flushed = now - self._flushed if self._even else 0.0, now
            try:
                self._loop.call_soon_threadsafe(self._pacing.take, items, seconds)
            except RuntimeError:
                return  # the event loop is gone, and every caller with it

    async def gather(self) -> None:
        """Let whoever arrives together be submitted together."""
        for _ in range(GATHER_TURNS):
            await asyncio.sleep(0)

    def open(self, sequence: Sequence) -> None:
        """Before `sequence` is submitted: make its mailbox."""
        self._mailboxes[sequence] = _Mailbox()

    def close(self, sequence: Sequence) -> None:
        """Nobody reads any more."""
        del self._mailboxes[sequence]

    async def read(self, sequence: Sequence) -> AsyncGenerator[Delta]:
        """The deltas of `sequence` to the last; raises what was delivered as an error."""
        mailbox = self._mailboxes[sequence]
        while True:
            delta = await mailbox.get()
            yield delta
            if delta.finish is not None:
                return

    def _put(self, sequence: Sequence, item: Item) -> None:
        mailbox = self._mailboxes.get(sequence)
        if mailbox is not None:
            mailbox.put(item)


class _Mailbox:
    """What one caller has not read yet; never more than its answer."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._filled = asyncio.Event()

    def put(self, item: Item) -> None:
        self._items.append(item)
        self._filled.set()

    async def get(self) -> Delta:
        await self._filled.wait()
        item = self._items.popleft()
        if not self._items:
            self._filled.clear()
        if isinstance(item, Exception):
            raise item
        return item
