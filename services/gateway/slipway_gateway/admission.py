"""Who may ask a pool now, who waits, and who is refused at once with the reason.

A queue bounded by estimated tokens, in order of priority and then age; a place in it is given only where the deadline can still be met.
It knows estimates and counts. It refuses to know HTTP, models and which pool is asked.
"""

import asyncio
import heapq
import itertools
from dataclasses import dataclass, field
from typing import NamedTuple

from slipway_shared import errors

from slipway_gateway.concurrency import Adaptive
from slipway_gateway.pace import Pace

RETRY_SECONDS = 1.0
MOST_RETRY_SECONDS = 30.0


class Load(NamedTuple):
    """What a request asks of a pool: estimated tokens, and its place in the order (a lower `priority` is sooner)."""

    prompt: int
    answer: int
    priority: int = 0

    @property
    def tokens(self) -> int:
        """Both together."""
        return self.prompt + self.answer


@dataclass(order=True, slots=True)
class _Waiting:
    priority: int
    number: int
    load: Load = field(compare=False)
    turn: "asyncio.Future[None]" = field(compare=False)


class Gate:
    """Admission to one pool."""

    def __init__(self, name: str, limit: Adaptive, pace: Pace, *, queue_tokens: int) -> None:
        self.name = name
        self.limit = limit
        self.pace = pace
        self.running = 0
        self.queued_tokens = 0
        self._queue_tokens = queue_tokens
        self._running_tokens = 0
        self._queue: list[_Waiting] = []
        self._numbers = itertools.count()

    @property
    def free(self) -> bool:
        """Whether a request would run at once."""
        return self.running < self.limit.limit and not self._queue

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queue)

    def wait_seconds(self, load: Load) -> float:
        """About how long `load` would wait for its turn: tokens before it, at the pool's measured rate. 0 where it would not, or nobody knows."""
        rate = self.pace.tokens_per_second
        if self.free or not rate:
            return 0.0
        ahead = sum(one.load.tokens for one in self._queue if one.priority <= load.priority)
        return (ahead + self._running_tokens / max(1, self.running)) / rate

    async def enter(self, load: Load, remaining_seconds: float | None) -> None:
        """Returns when it is this request's turn; every return must be followed by one `leave`. Raises QueueFull and Overloaded, at once."""
        if self.free:
            self.begin(load)
            return
        wait = self.wait_seconds(load)
        if self.queued_tokens + load.tokens > self._queue_tokens:
            raise errors.QueueFull(
                f"The queue of pool {self.name} is full ({self.queued_tokens} tokens wait).", retry_after_seconds=_retry(wait)
            )
        if remaining_seconds is not None and wait > remaining_seconds:
            raise errors.Overloaded(
                f"The request is due in {remaining_seconds:.1f} s and would wait about {wait:.1f} s for its turn.",
                code="deadline_unattainable", retry_after_seconds=_retry(wait),
            )  # fmt: skip
        waiting = _Waiting(load.priority, next(self._numbers), load, asyncio.get_running_loop().create_future())
        heapq.heappush(self._queue, waiting)
        self.queued_tokens += load.tokens
        try:
            async with asyncio.timeout(remaining_seconds):
                await waiting.turn
        except BaseException as error:
            if waiting.turn.done() and not waiting.turn.cancelled():
                self.leave(load)  # its turn came in the same moment in which its caller left
            else:
                self._forget(waiting)
            if isinstance(error, TimeoutError):
                raise errors.DeadlineExceeded("The request's deadline passed while it waited for its turn.") from None
            raise

    def leave(self, load: Load) -> None:
        """The request is done, however it ended."""
        self.running -= 1
        self._running_tokens -= load.tokens
        self._admit()

    def begin(self, load: Load) -> None:
        """Run at once, whatever waits: for a request that was admitted elsewhere and falls back to this pool."""
        self.running += 1
        self._running_tokens += load.tokens

    def _forget(self, waiting: _Waiting) -> None:
        if waiting in self._queue:
            self._queue.remove(waiting)
            heapq.heapify(self._queue)
            self.queued_tokens -= waiting.load.tokens

    def _admit(self) -> None:
        while self._queue and self.running < self.limit.limit:
            waiting = heapq.heappop(self._queue)
            self.queued_tokens -= waiting.load.tokens
            if not waiting.turn.done():
                self.begin(waiting.load)
                waiting.turn.set_result(None)


def _retry(wait: float) -> float:
    return min(MOST_RETRY_SECONDS, max(RETRY_SECONDS, wait))
