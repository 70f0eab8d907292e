"""What every shelf keeps to, whatever it is made of."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from slipway_gateway.shelf import MAX_MEMORY_BYTES, MemoryShelf, RedisShelf, Shelf, SqliteShelf
from slipway_shared import errors


@pytest.fixture(params=["memory", "file", "redis"])
async def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Shelf]:
    if request.param == "redis":
        redis = Redis.from_url(request.getfixturevalue("redis_server").url)
        yield RedisShelf(redis)
        await redis.aclose()
        return
    made: Shelf = SqliteShelf(tmp_path / "state") if request.param == "file" else MemoryShelf()
    yield made
    await made.aclose()


async def test_a_value_lies_there_for_its_time_and_is_changed_only_by_who_knows_it(shelf: Shelf) -> None:
    assert await shelf.get("a") is None and await shelf.add("a", b"one", 60)
    assert not await shelf.add("a", b"two", 60) and await shelf.get("a") == b"one"
    assert not await shelf.swap("a", b"two", b"three", 60) and await shelf.swap("a", b"one", b"two", 60)
    assert not await shelf.swap("b", b"one", b"two", 60) and await shelf.get("b") is None
    assert await shelf.swap("a", b"two", b"") and await shelf.get("a") is None
    await shelf.put("a", b"\x00bytes\xff", 60)
    await shelf.put("short", b"x", 0.02)
    await asyncio.sleep(0.05)
    assert await shelf.get("a") == b"\x00bytes\xff" and await shelf.get("short") is None
    assert await shelf.add("short", b"y", 60)


async def test_of_many_who_add_one_succeeds(shelf: Shelf) -> None:
    assert sum(await asyncio.gather(*(shelf.add("a", b"%d" % n, 60) for n in range(20)))) == 1


async def test_the_memory_of_one_process_is_bounded() -> None:
    shelf = MemoryShelf()
    large = b"x" * (MAX_MEMORY_BYTES // 4)
    for n in range(6):
        await shelf.put(f"{n}", large, 60)
    assert [await shelf.get(f"{n}") is not None for n in range(6)] == [False, False, True, True, True, True]


async def test_a_shelf_that_is_away_says_so(tmp_path: Path, redis_server: Any) -> None:
    redis = Redis.from_url(redis_server.url, socket_timeout=0.2)
    redis_server.stop()
    (tmp_path / "file").write_text("no folder")
    shelves: list[Shelf] = [RedisShelf(redis), SqliteShelf(tmp_path / "file" / "state")]
    for shelf in shelves:
        with pytest.raises(errors.Overloaded):
            await shelf.add("a", b"x", 1)
    await redis.aclose()
