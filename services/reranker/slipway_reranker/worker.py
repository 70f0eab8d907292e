"""One worker thread in front of the scorer: a bounded line of calls, scored one after the other. It refuses to know HTTP and what a scorer computes."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from slipway_shared import errors

from slipway_reranker.scorer import Scored, Scorer


class ScoringWorker:
    """Keeps the event loop free: scoring is arithmetic, and one thread at a time is what the scorer's own threads are sized for."""

    def __init__(self, scorer: Scorer, *, max_waiting: int) -> None:
        self._scorer = scorer
        self._max_waiting = max_waiting
        self._waiting = 0
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="score")

    @property
    def model(self) -> str:
        """The scorer's name."""
        return self._scorer.name

    async def score(
        self, query: str, documents: Sequence[str], scores: Sequence[float] | None = None, *, seconds: float | None = None
    ) -> Scored:
        """The scorer's answer; Overloaded when the line is full, DeadlineExceeded after `seconds`. A caller that left is not scored."""
        if self._waiting >= self._max_waiting:
            raise errors.Overloaded("Too many rerank calls are waiting; try again.")
        self._waiting += 1
        try:
            future = asyncio.get_running_loop().run_in_executor(self._pool, self._scorer.score, query, documents, scores)
            return await asyncio.wait_for(future, seconds)
        except TimeoutError:
            raise errors.DeadlineExceeded("Reranking took longer than the request's deadline.") from None
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Wait for the running call, drop the waiting ones."""
        self._pool.shutdown(wait=True, cancel_futures=True)
