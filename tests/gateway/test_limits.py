"""Limits: what is used lowers what is left by that much, on every way an answer can end, with Redis and without."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from slipway_gateway.buckets import LocalBuckets, Scope, Use
from slipway_gateway.keys import Key, Limits
from slipway_gateway.limiter import Limiter, LimitReached, scopes_of
from slipway_shared.metrics import Metrics

ADMIN = "admin-token-of-this-test"
ASKED = {"model": "chat", "messages": [{"role": "user", "content": "What is the capital of France?"}], "max_tokens": 50}


async def limited(platform: Any, **limits: Any) -> dict[str, str]:
    """The header of a new key with `limits`."""
    body = {"tenant": "acme", **limits}
    async with platform.client.post("/admin/keys", json=body, headers={"authorization": f"Bearer {ADMIN}"}) as response:
        assert response.status == 201, await response.text()
        return {"authorization": f"Bearer {(await response.json())['key']}"}


async def ask(platform: Any, auth: dict[str, str], **more: Any) -> tuple[int, dict[str, str], bytes]:
    async with platform.client.post("/v1/chat/completions", json={**ASKED, **more}, headers=auth) as response:
        return response.status, {k.lower(): v for k, v in response.headers.items()}, await response.read()


async def left(platform: Any, auth: dict[str, str]) -> int:
    """Tokens left, as a free request tells; waits for what is settled behind."""
    await asyncio.sleep(0.05)
    async with platform.client.get("/v1/models", headers=auth) as response:
        return int(response.headers["x-ratelimit-remaining-tokens"])


@pytest.fixture(params=["redis", "local"])
async def platform(start: Any, redis_server: Any, tmp_path: Any, request: Any) -> Any:
    where = {"redis_url": redis_server.url, "redis_seconds": 5} if request.param == "redis" else {"keys_file": tmp_path / "keys.json"}
    async with start(
        admin_token=ADMIN, key_cache_seconds=0, safety_url=None, prices={"chat": {"input": 1000, "output": 2000}}, **where
    ) as running:
        running.redis = redis_server if request.param == "redis" else None
        yield running


async def test_tokens_left_fall_by_what_was_used(platform: Any) -> None:
    auth = await limited(platform, limits={"tokens_per_minute": 1000})
    usage = platform.generator.usage()["total_tokens"]
    status, headers, _ = await ask(platform, auth)
    assert status == 200 and headers["x-ratelimit-limit-tokens"] == "1000"
    assert 1000 - usage <= int(headers["x-ratelimit-remaining-tokens"]) <= 1000 - usage + 2
    await ask(platform, auth, stream=True)
    assert 1000 - 2 * usage <= await left(platform, auth) <= 1000 - 2 * usage + 20


async def test_a_request_that_does_not_fit_is_refused_before_anything_is_asked(platform: Any) -> None:
    auth = await limited(platform, limits={"tokens_per_minute": 100})
    assert (await ask(platform, auth, max_tokens=80))[0] == 200
    platform.generator.seen.clear()
    status, headers, raw = await ask(platform, auth, max_tokens=95)
    assert status == 429 and json.loads(raw)["error"]["code"] == "tokens_limit"
    assert int(headers["retry-after"]) >= 1 and int(headers["x-ratelimit-remaining-tokens"]) < 95
    assert platform.generator.seen == []


async def test_every_route_counts_requests(platform: Any) -> None:
    auth = await limited(platform, limits={"requests_per_minute": 3})
    for path in ("/v1/models", "/v1/files", "/v1/nothing"):
        async with platform.client.get(path, headers=auth) as response:
            assert response.status in (200, 404)
    assert (await ask(platform, auth))[0] == 429
    async with platform.client.get("/v1/models", headers=auth) as response:
        assert response.status == 429
        assert response.headers["x-ratelimit-remaining-requests"] == "0"


async def test_streams_at_once_are_bounded_and_a_hung_up_one_is_given_back(platform: Any) -> None:
    auth = await limited(platform, limits={"concurrent_streams": 1, "tokens_per_minute": 100_000})
    platform.generator.hold = 3
    async with platform.client.post("/v1/chat/completions", json={**ASKED, "stream": True}, headers=auth) as first:
        await first.content.readany()
        status, _, raw = await ask(platform, auth, stream=True)
        assert status == 429 and json.loads(raw)["error"]["code"] == "streams_limit"
        first.close()
    await platform.generator.cancelled.wait()
    assert await left(platform, auth) > 99_900
    platform.generator.go.set()
    assert (await ask(platform, auth, stream=True))[0] == 200


async def test_an_error_and_an_abstention_give_the_reservation_back(platform: Any) -> None:
    auth = await limited(platform, limits={"tokens_per_minute": 1000})
    platform.reranker.evidence = 0.0
    assert (await ask(platform, auth, retrieval={}))[0] == 200
    assert await left(platform, auth) >= 999
    platform.generator.status = 400
    assert (await ask(platform, auth))[0] == 400
    assert await left(platform, auth) >= 980


async def test_keys_of_one_tenant_share_its_limit(platform: Any) -> None:
    both = {"tenant_limits": {"requests_per_minute": 2}}
    one, two = await limited(platform, **both), await limited(platform, **both)
    assert (await ask(platform, one))[0] == 200 and (await ask(platform, two))[0] == 200
    assert (await ask(platform, one))[0] == 429


async def test_a_budget_of_money_is_used_up_by_price(platform: Any) -> None:
    auth = await limited(platform, limits={"budget_usd": 0.15})
    cost = 7 * 1000 + 7 * 2000  # micro-dollars of the fake's usage
    answers: list[tuple[int, bytes]] = []
    while not answers or answers[-1][0] == 200:
        status, _, raw = await ask(platform, auth)
        answers.append((status, raw))
    assert answers[-1][0] == 429 and json.loads(answers[-1][1])["error"]["code"] == "budget_limit"
    reserved = 8 * 1000 + 50 * 2000
    assert len(answers) - 1 == (150_000 - reserved) // cost + 1


async def test_what_costs_less_than_a_millionth_of_a_dollar_adds_up(start: Any, redis_server: Any, tmp_path: Any) -> None:
    """A small request of a cheap model costs 0.14 micro-dollars here: rounded, it would be free for ever."""
    for where in ({"redis_url": redis_server.url, "redis_seconds": 5}, {"keys_file": tmp_path / "keys.json"}):
        prices = {"chat": {"input": 0.01, "output": 0.01}}
        async with start(admin_token=ADMIN, key_cache_seconds=0, safety_url=None, prices=prices, **where) as platform:
            auth = await limited(platform, limits={"budget_usd": 1e-6})
            assert [(await ask(platform, auth, max_tokens=1))[0] for _ in range(9)] == [200] * 7 + [429] * 2


async def test_a_priced_model_is_paid_for_while_nobody_lists_it(start: Any, tmp_path: Any) -> None:
    """The gateway has just started and cannot look the model up; the generator is back a moment later."""
    prices = {"chat": {"input": 1e6, "output": 1e6}}
    async with start(admin_token=ADMIN, keys_file=tmp_path / "keys.json", safety_url=None, prices=prices) as platform:
        platform.generator.down = True
        auth = await limited(platform, limits={"budget_usd": 1})
        for model in ("chat", "chat:int8"):
            status, _, raw = await ask(platform, auth, model=model)
            assert status == 429 and json.loads(raw)["error"]["code"] == "budget_limit"
        assert (await ask(platform, auth, model="free"))[0] == 200  # quoted from the passages


async def test_a_stream_that_outgrows_its_quota_ends_with_an_error(platform: Any) -> None:
    platform.generator.text = "word " * 800
    auth = await limited(platform, limits={"tokens_per_minute": 300})
    body = {key: value for key, value in ASKED.items() if key != "max_tokens"}
    async with platform.client.post("/v1/chat/completions", json={**body, "stream": True}, headers=auth) as response:
        raw = await response.read()
    assert b"tokens_limit" in raw and b"[DONE]" not in raw and 200 < raw.count(b"word") < 300


async def test_without_redis_nobody_is_failed_and_a_share_is_given_out(start: Any, redis_server: Any) -> None:
    async with start(admin_token=ADMIN, safety_url=None, redis_url=redis_server.url, redis_seconds=5, local_share=0.5) as platform:
        auth = await limited(platform, limits={"requests_per_minute": 10})
        assert (await ask(platform, auth))[0] == 200
        redis_server.stop()
        statuses = [(await ask(platform, auth))[0] for _ in range(12)]
        assert set(statuses) == {200, 429} and statuses.count(200) == 5
        async with platform.client.get("/metrics") as response:
            assert "slipway_limiter_local_total 1" in await response.text()


@pytest.mark.parametrize("ruin", ["flush", "type"])
async def test_a_store_that_forgets_or_holds_garbage_costs_no_request(start: Any, redis_server: Any, ruin: str) -> None:
    async with start(admin_token=ADMIN, safety_url=None, redis_url=redis_server.url, redis_seconds=5, key_cache_seconds=60) as platform:
        auth = await limited(platform, limits={"tokens_per_minute": 100_000})
        assert (await ask(platform, auth))[0] == 200
        redis = Redis.from_url(redis_server.url)
        names = [name async for name in redis.scan_iter("slipway:use:*")]
        if ruin == "flush":
            await redis.flushall()
            await redis.script_flush()
        else:
            for name in names:
                await redis.delete(name)
                await redis.set(name, "garbage")
        await redis.aclose()
        assert names and (await ask(platform, auth))[0] == 200


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["reserve", "reserve", "settle"]), st.integers(0, 5), st.integers(0, 60), st.integers(0, 40), st.booleans()),
    max_size=25,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(OPERATIONS, st.integers(0, 8), st.integers(0, 100), st.integers(0, 3), st.integers(0, 100))
async def test_redis_and_memory_decide_alike(redis_server: Any, steps: list[Any], rpm: int, tpm: int, streams: int, budget: int) -> None:
    limits = Limits(
        requests_per_minute=rpm or None, tokens_per_minute=tpm or None, concurrent_streams=streams or None, budget_usd=budget / 1e6 or None
    )
    scopes = (Scope("key:a", limits), Scope("tenant:b", Limits(requests_per_minute=6)))
    redis = Redis.from_url(redis_server.url)
    await redis.flushall()
    limiter = Limiter(redis, Metrics("gateway"), local_share=1, lease_seconds=60)
    # The memory's clock stands still: what little Redis refills meanwhile is less than one whole request or token.
    memory = LocalBuckets(clock=lambda: 1_800_000_000.0)
    for verb, request, tokens, micros, stream in steps:
        use = Use(1 if verb == "reserve" else 0, tokens, micros, stream)
        theirs = await limiter._call(verb, scopes, str(request), use)  # pyright: ignore[reportPrivateUsage]
        ours = memory.reserve(scopes, str(request), use, 60) if verb == "reserve" else memory.settle(scopes, str(request), use)
        assert theirs.admitted == ours.admitted
        if not ours.admitted:
            # Two kinds may run out for the same time; which one is named then hangs on what Redis refilled meanwhile.
            assert theirs.dimension == ours.dimension or theirs.wait_seconds == pytest.approx(ours.wait_seconds, abs=1.0)
    await limiter.aclose()
    await redis.aclose()


async def test_a_key_without_limits_costs_the_store_nothing() -> None:
    limiter = Limiter(Redis.from_url("redis://127.0.0.1:1/0"), Metrics("gateway"), local_share=1, lease_seconds=60)
    key = Key(id="key_1", tenant="t", digest="d")
    assert scopes_of(key) == ()
    grant = await limiter.reserve(key, "r", Use())
    assert grant.headers == {} and await limiter.settle(grant, tokens=10, micros=0) == {}


async def test_a_bucket_fills_again_with_time() -> None:
    now = 1_800_000_000.0
    buckets = LocalBuckets(clock=lambda: now)
    scopes = (Scope("key:a", Limits(requests_per_minute=2)),)
    assert buckets.reserve(scopes, "1", Use(), 60).admitted and buckets.reserve(scopes, "2", Use(), 60).admitted
    refused = buckets.reserve(scopes, "3", Use(), 60)
    assert not refused.admitted and refused.wait_seconds == pytest.approx(30)
    now += 31
    assert buckets.reserve(scopes, "4", Use(), 60).admitted
    assert isinstance(LimitReached("x"), Exception)
