"""Texts of many callers become few forward passes: one thread, a token budget per pass, queries before passages, like lengths together.

It knows queues and lengths. It refuses to know models beyond the Embedder's verbs, and stores.
"""

import asyncio
import heapq
import itertools
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from slipway_shared import errors
from slipway_shared.metrics import Metrics

from slipway_retriever.embed.embedder import Embedder, Vectors

Vector = NDArray[np.float32]
TURN = 256
"""Texts are sorted by length only among this many arrivals, so that a long one is never overtaken for ever."""


class Urgency(IntEnum):
    """Whose text is embedded first."""

    QUERY = 0
    REQUEST = 1
    INGESTION = 2


@dataclass(order=True, slots=True)
class _Waiting:
    urgency: int
    turn: int
    length: int
    number: int
    ids: list[int] = field(compare=False)
    done: "Future[Vector]" = field(compare=False)


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors in the order of the texts, and how many tokens were read."""

    vectors: Vectors
    tokens: int


class Batcher:
    """The one thread that runs the embedder. `max_waiting` texts may wait in all; more are refused."""

    def __init__(self, embedder: Embedder, metrics: Metrics, *, batch_tokens: int, max_waiting: int = 8192) -> None:
        self.embedder = embedder
        self._seconds = metrics.histogram("slipway_embed_seconds")
        self._texts = metrics.counter("slipway_embed_texts")
        self._budget = batch_tokens
        self._max_waiting = max_waiting
        self._heap: list[_Waiting] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._open = True
        self._thread = threading.Thread(target=self._run, name="embed", daemon=True)
        self._thread.start()

    async def embed(self, texts: Sequence[str], urgency: Urgency, *, seconds: float | None = None) -> Embedded:
        """Vectors of `texts`, from the event loop; DeadlineExceeded after `seconds`. What a caller no longer waits for is not computed."""
        ids = await asyncio.to_thread(self.embedder.tokenize, texts)
        futures = self._put(ids, urgency)
        try:
            vectors = await asyncio.wait_for(asyncio.gather(*map(asyncio.wrap_future, futures)), seconds)
        except TimeoutError:
            raise errors.DeadlineExceeded("Embedding took longer than the request's deadline.") from None
        finally:
            for future in futures:
                future.cancel()
        return Embedded(np.stack(vectors), sum(map(len, ids)))

    def embed_blocking(self, texts: Sequence[str]) -> Vectors:
        """Vectors of `texts` for ingestion, from its worker thread."""
        return np.stack([future.result() for future in self._put(self.embedder.tokenize(texts), Urgency.INGESTION)])

    def close(self) -> None:
        """Finish the running pass; whoever waits gets Overloaded."""
        with self._changed:
            self._open = False
            self._changed.notify()
        self._thread.join()

    def _put(self, ids: Sequence[list[int]], urgency: Urgency) -> "list[Future[Vector]]":
        with self._changed:
            if not self._open:
                raise errors.Overloaded("The embedder is shutting down; try again.")
            if urgency is not Urgency.INGESTION and len(self._heap) + len(ids) > self._max_waiting:
                raise errors.Overloaded("Too many texts are waiting to be embedded; try again.")
            numbers = [next(self._numbers) for _ in ids]
            waiting = [_Waiting(int(urgency), n // TURN, len(row), n, row, Future()) for n, row in zip(numbers, ids, strict=True)]
            for item in waiting:
                heapq.heappush(self._heap, item)
            self._changed.notify()
        return [item.done for item in waiting]

    def _run(self) -> None:
        while batch := self._take():
            try:
                with self._seconds.time():
                    vectors = self.embedder.embed([item.ids for item in batch])
            except Exception as error:  # noqa: BLE001 the edge of the native runtime: the callers get the error, the thread lives on
                for item in batch:
                    item.done.set_exception(error)
                continue
            self._texts.inc(len(batch))
            for item, vector in zip(batch, vectors, strict=True):
                item.done.set_result(vector)
        with self._changed:
            for item in self._heap:
                if item.done.set_running_or_notify_cancel():
                    item.done.set_exception(errors.Overloaded("The embedder is shutting down; try again."))
            self._heap.clear()

    def _take(self) -> list[_Waiting]:
        """The next pass: the most urgent texts, shortest first, as many as the budget of padded tokens allows. Empty means: stop."""
        with self._changed:
            while True:
                while self._open and not self._heap:
                    self._changed.wait()
                if not self._open:
                    return []
                if batch := self._pop():
                    return batch

    def _pop(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        while self._heap:
            first = self._heap[0]
            longest = max([first.length, *(item.length for item in batch)])
            if batch and (longest * (len(batch) + 1) > self._budget or first.urgency != batch[0].urgency):
                break
            heapq.heappop(self._heap)
            if first.done.set_running_or_notify_cancel():
                batch.append(first)
        return batch
