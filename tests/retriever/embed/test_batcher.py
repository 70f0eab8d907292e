"""The batcher: order of urgency, token budget, callers that left, errors of the model, and the end of the service."""

import asyncio
import threading
from collections.abc import Generator, Sequence

import numpy as np
import pytest
from slipway_retriever.embed.batcher import Batcher, Urgency
from slipway_retriever.embed.embedder import Vectors
from slipway_shared import errors
from slipway_shared.metrics import Metrics


class Recording:
    """An embedder that waits for permission, and remembers the batches; a text is its length in x."""

    name = digest = "recording"
    dimensions = 1
    query_prefix = ""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Event()
        self.running = threading.Event()

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        return [[ord(text[0])] * len(text) for text in texts]

    def embed(self, batch: Sequence[Sequence[int]]) -> Vectors:
        self.running.set()
        assert self.go.wait(10)
        if any(ids[0] == ord("!") for ids in batch):
            raise RuntimeError("the model failed")
        self.batches.append([len(ids) for ids in batch])
        return np.array([[len(ids)] for ids in batch], dtype=np.float32)


@pytest.fixture
def embedder() -> Recording:
    return Recording()


@pytest.fixture
def batcher(embedder: Recording) -> Generator[Batcher]:
    batcher = Batcher(embedder, Metrics("retriever"), batch_tokens=20, max_waiting=12)
    yield batcher
    embedder.go.set()
    batcher.close()


async def busy(batcher: Batcher, embedder: Recording) -> "asyncio.Task[object]":
    """A first text that keeps the thread until it is let go, so that what follows has to wait."""
    task = asyncio.create_task(batcher.embed(["x"], Urgency.INGESTION))
    await asyncio.to_thread(embedder.running.wait)
    return task


async def waiting(batcher: Batcher, texts: list[str], urgency: Urgency) -> "asyncio.Task[object]":
    task = asyncio.create_task(batcher.embed(texts, urgency))
    await asyncio.sleep(0.05)
    return task


async def test_queries_overtake_passages_and_lengths_are_sorted_within_the_budget(batcher: Batcher, embedder: Recording) -> None:
    tasks = [await busy(batcher, embedder)]
    tasks.append(await waiting(batcher, ["x" * n for n in (9, 3, 8, 2)], Urgency.INGESTION))
    tasks.append(await waiting(batcher, ["x" * 5], Urgency.QUERY))
    embedder.go.set()
    await asyncio.gather(*tasks)
    assert embedder.batches == [[1], [5], [2, 3], [8, 9]]


async def test_vectors_come_back_in_the_order_of_the_texts(batcher: Batcher, embedder: Recording) -> None:
    embedder.go.set()
    embedded = await batcher.embed(["xxx", "x", "xx"], Urgency.REQUEST)
    assert embedded.vectors.tolist() == [[3], [1], [2]]
    assert embedded.tokens == 6


async def test_a_text_longer_than_the_budget_goes_alone(batcher: Batcher, embedder: Recording) -> None:
    embedder.go.set()
    assert (await batcher.embed(["x" * 50], Urgency.REQUEST)).tokens == 50


async def test_what_nobody_waits_for_is_not_computed(batcher: Batcher, embedder: Recording) -> None:
    first = await busy(batcher, embedder)
    left = await waiting(batcher, ["x" * 7], Urgency.QUERY)
    left.cancel()
    await asyncio.sleep(0.05)
    embedder.go.set()
    await first
    await batcher.embed(["xx"], Urgency.QUERY)
    assert embedder.batches == [[1], [2]]


async def test_a_deadline_ends_the_wait(batcher: Batcher, embedder: Recording) -> None:
    first = await busy(batcher, embedder)
    with pytest.raises(errors.DeadlineExceeded):
        await batcher.embed(["xx"], Urgency.QUERY, seconds=0.05)
    embedder.go.set()
    await first


async def test_a_full_line_is_refused(batcher: Batcher, embedder: Recording) -> None:
    first = await busy(batcher, embedder)
    second = await waiting(batcher, ["x"] * 10, Urgency.REQUEST)
    with pytest.raises(errors.Overloaded):
        await batcher.embed(["x"] * 3, Urgency.QUERY)
    embedder.go.set()
    await asyncio.gather(first, second)


async def test_an_error_of_the_model_reaches_its_callers_only(batcher: Batcher, embedder: Recording) -> None:
    embedder.go.set()
    with pytest.raises(RuntimeError, match="the model failed"):
        await batcher.embed(["!"], Urgency.QUERY)
    assert (await batcher.embed(["xx"], Urgency.QUERY)).tokens == 2


async def test_whoever_waits_at_the_end_is_told(batcher: Batcher, embedder: Recording) -> None:
    first = await busy(batcher, embedder)
    second = await waiting(batcher, ["xx"], Urgency.REQUEST)
    closing = asyncio.create_task(asyncio.to_thread(batcher.close))
    await asyncio.sleep(0.05)
    embedder.go.set()
    await closing
    await first
    with pytest.raises(errors.Overloaded):
        await second
    with pytest.raises(errors.Overloaded):
        await batcher.embed(["x"], Urgency.QUERY)
