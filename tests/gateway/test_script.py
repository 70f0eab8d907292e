"""The limiter's own line to Redis: over a real Redis, and over sockets that say what no Redis would."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from redis.asyncio import Redis
from slipway_gateway.script import Place, Script, StoreError, place_of

ECHO = "return KEYS[1] .. '|' .. #KEYS .. '|' .. ARGV[1]"


@pytest.fixture
async def script(redis_server: Any) -> AsyncGenerator[Script]:
    """The echo at a real Redis."""
    place = place_of(Redis.from_url(redis_server.url, socket_timeout=2))
    assert place is not None
    made = Script(place, ECHO)
    yield made
    made.close()


@contextlib.asynccontextmanager
async def saying(*pieces: bytes, seconds: float = 5.0) -> AsyncGenerator[Script]:
    """The echo at a server that answers whatever comes with `pieces`, a moment apart."""
    talks = list[asyncio.Task[None] | None]()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.current_task())
        try:
            await reader.read(1 << 16)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.005)
            await reader.read()
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    script = Script(Place("127.0.0.1", port, None, None, None, 0, seconds), ECHO)
    try:
        yield script
    finally:
        script.close()
        server.close()
        await asyncio.gather(*(one for one in talks if one is not None), return_exceptions=True)


async def test_calls_at_once_get_their_own_answers(script: Script) -> None:
    answers = await asyncio.gather(*(script.call(["k", "l"][: 1 + n % 2], f"wörd {n}\r\n") for n in range(300)))
    assert answers == [f"k|{1 + n % 2}|wörd {n}\r\n".encode() for n in range(300)]


async def test_a_script_that_redis_forgot_is_sent_again(script: Script, redis_server: Any) -> None:
    assert await script.call(["k"], "1") == b"k|1|1"
    redis = Redis.from_url(redis_server.url)
    await redis.script_flush()
    assert await script.call(["k"], "2") == b"k|1|2"
    await redis.aclose()


async def test_a_lost_connection_fails_who_waits_and_is_made_anew(script: Script, redis_server: Any) -> None:
    assert await script.call(["k"], "1") == b"k|1|1"
    redis = Redis.from_url(redis_server.url)
    await redis.client_kill_filter(_type="normal")
    await redis.aclose()
    with contextlib.suppress(StoreError):  # the loss may have been seen already
        await script.call(["k"], "2")
    assert await script.call(["k"], "3") == b"k|1|3"
    redis_server.stop()
    for _ in range(2):
        with pytest.raises(OSError):
            await script.call(["k"], "4")


async def test_whoever_gives_up_leaves_the_order_of_answers(script: Script) -> None:
    await script.call(["k"], "0")
    given_up = asyncio.create_task(script.call(["k"], "1"))
    kept = asyncio.create_task(script.call(["k"], "2"))
    await asyncio.sleep(0)
    given_up.cancel()
    assert await kept == b"k|1|2"


async def test_database_and_password_are_kept_to(redis_server: Any) -> None:
    redis = Redis.from_url(redis_server.url)
    await redis.config_set("requirepass", "secret")
    place = place_of(redis)
    assert place is not None
    for password, fine in (("secret", True), ("wrong", False)):
        script = Script(place._replace(password=password, database=3), "return redis.call('SET', KEYS[1], ARGV[1]) and 'ok'")
        with contextlib.nullcontext() if fine else pytest.raises(StoreError):
            assert await script.call(["here"], "1") == b"ok"
        script.close()
    there = Redis.from_url(redis_server.url.replace("/0", "/3"), password="secret")
    assert await there.get("here") == b"1"
    for one in (redis, there):
        await one.aclose()


async def test_an_answer_cut_anywhere_is_whole() -> None:
    async with saying(*(bytes([byte]) for byte in b"$5\r\na\r\nbc\r\n")) as script:
        assert await script.call(["k"], "1") == b"a\r\nbc"


@pytest.mark.parametrize(
    "said", [b":5\r\n", b"$-1\r\n", b"$x\r\n", b"*1\r\n$1\r\na\r\n", b"$99999999\r\n", b"x" * 70_000, b"-OOM no memory\r\n"]
)
async def test_what_is_no_answer_is_an_error(said: bytes) -> None:
    async with saying(said) as script:
        with pytest.raises(StoreError):
            await script.call(["k"], "1")


async def test_an_answer_that_nobody_asked_for_is_given_to_nobody() -> None:
    async with saying(b"+a\r\n+b\r\n") as script:
        assert [await script.call(["k"], "1"), await script.call(["k"], "2")] == [b"a", b"a"]


async def test_silence_is_a_failure_of_all_who_wait() -> None:
    async with saying(seconds=0.05) as script:
        answers = await asyncio.gather(*(script.call(["k"], str(n)) for n in range(3)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [TimeoutError] * 3


async def test_nobody_listens() -> None:
    async with saying() as script:
        pass
    answers = await asyncio.gather(*(script.call(["k"], str(n)) for n in range(3)), return_exceptions=True)
    assert all(isinstance(answer, OSError) for answer in answers)


def test_tls_is_left_to_the_library() -> None:
    assert place_of(Redis.from_url("rediss://127.0.0.1:1/0")) is None
    place = place_of(Redis.from_url("unix://user:word@/run/redis.sock?db=2", socket_timeout=3))
    assert place == Place("localhost", 6379, "/run/redis.sock", "user", "word", 2, 3.0)
