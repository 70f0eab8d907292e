"""What every store of batches must keep, whatever it is made of: one owner, one result a line, and nothing of another tenant."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from slipway_gateway.batches.record import Batch, new_id
from slipway_gateway.batches.redis_store import RedisBatches
from slipway_gateway.batches.sqlite_store import SqliteBatches
from slipway_gateway.batches.store import MAX_LIVE, BatchStore
from slipway_shared import errors


def made(tenant: str = "acme") -> Batch:
    return Batch(id=new_id(), tenant=tenant, key="digest", endpoint="/v1/embeddings", input_file_id="file-1", created_at=10, expires_at=20)


@pytest.fixture(params=["sqlite", "memory", "redis"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[BatchStore]:
    if request.param == "redis":
        redis = Redis.from_url(request.getfixturevalue("redis_server").url)
        yield RedisBatches(redis)
        await redis.aclose()
        return
    kept = SqliteBatches(tmp_path / "folder" / "batches.sqlite" if request.param == "sqlite" else None)
    yield kept
    await kept.aclose()


async def test_a_batch_has_one_owner_until_its_lease_ends(store: BatchStore) -> None:
    first, second = made(), made()
    await store.add(first)
    await store.add(second)
    claims = await asyncio.gather(*(store.claim(f"owner-{n}", 60) for n in range(5)))
    assert sorted(batch.id for batch in claims if batch) == sorted([first.id, second.id])
    mine = next(n for n, batch in enumerate(claims) if batch and batch.id == first.id)
    assert await store.renew(first, f"owner-{mine}", 60) and await store.renew(first, "stranger", 60) is None
    assert not await store.save(first.at("in_progress", 11, total=3), "stranger")
    assert await store.save(first.at("in_progress", 11, total=3), f"owner-{mine}")
    await store.release(first, f"owner-{mine}", 0)
    await asyncio.sleep(0.01)
    again = await store.claim("heir", 0.01)
    assert again and (again.id, again.status, again.total) == (first.id, "in_progress", 3)
    await asyncio.sleep(0.03)  # the heir died: its lease ends by itself
    assert (again := await store.claim("next", 60)) and again.id == first.id
    assert not await store.save(first.at("in_progress", 11, total=3), "heir")


async def test_a_line_has_one_result_and_results_come_in_order(store: BatchStore) -> None:
    batch = made()
    await store.add(batch)
    await store.claim("me", 60)
    order = [7, 3, 150, 0, *range(10, 130)]
    for line in order:
        assert await store.put(batch, line, b"%d\n" % line, good=line != 3)
    assert not any([await store.put(batch, line, b"again\n", good=True) for line in (3, 7)])
    assert await store.done(batch) == set(order)
    assert [int(raw) async for raw in store.results(batch, good=True)] == sorted(set(order) - {3})
    assert [raw async for raw in store.results(batch, good=False)] == [b"3\n"]
    kept = await store.get("acme", batch.id)
    assert kept and (kept.good, kept.bad) == (len(order) - 1, 1) and kept.size == sum(len(b"%d\n" % line) for line in order)


async def test_a_batch_that_is_over_takes_nothing_more_and_is_not_claimed(store: BatchStore) -> None:
    batch = made()
    await store.add(batch)
    await store.claim("me", 60)
    await store.put(batch, 0, b"x\n", good=True)
    assert await store.save(batch.at("completed", 15, total=1), "me")
    assert not await store.put(batch, 1, b"y\n", good=True) and not await store.save(batch.at("in_progress", 16), "me")
    assert await store.done(batch) == set() and await store.claim("you", 60) is None
    assert (asked := await store.cancel("acme", batch.id, 17)) and asked.cancelling_at is None
    kept = await store.get("acme", batch.id)
    assert kept and (kept.status, kept.good, kept.completed_at) == ("completed", 1, 15)


async def test_a_cancellation_is_kept_whatever_the_owner_saves(store: BatchStore) -> None:
    batch = made()
    await store.add(batch)
    await store.claim("me", 60)
    assert (asked := await store.cancel("acme", batch.id, 12)) and asked.cancelling_at == 12
    assert await store.save(batch.at("in_progress", 13, total=1), "me")
    told = await store.renew(batch, "me", 60)
    assert told and told.cancelling_at == 12 and told.shape()["status"] == "cancelling"


async def test_tenants_see_their_own_batches_and_have_a_bound(store: BatchStore) -> None:
    mine = [made() for _ in range(3)]
    for batch in (*mine, made("other")):
        await store.add(batch)
    assert [batch.id for batch in await store.listed("acme", None, 2)] == [mine[2].id, mine[1].id]
    assert [batch.id for batch in await store.listed("acme", mine[1].id, 2)] == [mine[0].id]
    assert await store.listed("acme", "batch_nope", 2) == [] and await store.listed("nobody", None, 2) == []
    assert await store.get("other", mine[0].id) is None and await store.cancel("other", mine[0].id, 1) is None
    for _ in range(MAX_LIVE - 3):
        await store.add(made())
    with pytest.raises(errors.RateLimited):
        await store.add(made())
    await store.add(made("other"))


async def test_a_store_that_is_away_says_so(tmp_path: Path, redis_server: Any) -> None:
    redis = Redis.from_url(redis_server.url, socket_timeout=0.2)
    redis_server.stop()
    (tmp_path / "file").write_text("no folder")
    stores: list[BatchStore] = [RedisBatches(redis), SqliteBatches(tmp_path / "file" / "batches")]
    for store in stores:
        with pytest.raises(errors.Overloaded):
            await store.add(made())
    await redis.aclose()
