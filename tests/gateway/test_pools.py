"""Several pools behind one gateway: who is chosen, who waits, who is refused, and who steps in."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import pytest


class Generator(Protocol):
    """What these tests use of a fake generator."""

    url: str
    down: bool
    status: int
    delay: float
    text: str
    seen: list[dict[str, Any]]
    cards: list[dict[str, Any]]
    cut_after: int | None

    def running(self) -> AbstractAsyncContextManager[None]: ...


def pool(name: str, *generators: Generator, **fields: Any) -> dict[str, Any]:
    return {"name": name, "urls": [one.url for one in generators], **fields}


@contextlib.asynccontextmanager
async def generators(make: Any, count: int) -> AsyncGenerator[list[Any]]:
    async with contextlib.AsyncExitStack() as stack:
        made = [make() for _ in range(count)]
        for number, one in enumerate(made):
            one.text = f"pool {number} speaks"
            await stack.enter_async_context(one.running())
        yield made


@pytest.fixture
def make(platform: Any) -> Any:
    """Makes fake generators."""
    return type(platform.generator)


async def told(running: Any, *, expect: int = 200, headers: dict[str, str] | None = None, **body: Any) -> tuple[Any, dict[str, str]]:
    asked = {"model": "chat", "messages": [{"role": "user", "content": "hello"}], **body}
    async with running.client.post("/v1/chat/completions", json=asked, headers={**running.auth, **(headers or {})}) as response:
        document = await response.json()
        assert response.status == expect, document
        return document, {k.lower(): v for k, v in response.headers.items()}


async def test_the_cheapest_pool_answers_and_a_device_class_is_obeyed(start: Any, make: Any) -> None:
    async with generators(make, 2) as (dear, cheap):
        pools = [pool("gpu", dear, cost=5, device_class="gpu"), pool("cpu", cheap, cost=1, device_class="x86")]
        async with start(pools=pools, safety_url=None) as running:
            _, headers = await told(running)
            assert headers["x-slipway-pool"] == "cpu"
            document, headers = await told(running, headers={"x-slipway-device-class": "gpu"})
            assert (headers["x-slipway-pool"], document["choices"][0]["message"]["content"]) == ("gpu", "pool 0 speaks")
            refused, _ = await told(running, expect=404, headers={"x-slipway-device-class": "arm"})
            assert refused["error"]["code"] == "device_class_unavailable"
            await told(running, expect=400, headers={"x-slipway-device-class": "toaster"})


async def test_a_model_is_asked_of_the_pool_that_lists_it_and_all_are_listed(start: Any, make: Any) -> None:
    async with generators(make, 2) as (one, two):
        one.cards, two.cards = [{"id": "small", "kind": "chat"}], [{"id": "large", "kind": "chat"}]
        async with start(pools=[pool("a", one), pool("b", two, cost=9)], safety_url=None) as running:
            async with running.client.get("/v1/models", headers=running.auth) as response:
                assert {card["id"] for card in (await response.json())["data"]} == {"small", "large"}
            assert (await told(running, model="large"))[1]["x-slipway-pool"] == "b"
            assert (await told(running, model="small"))[1]["x-slipway-pool"] == "a"
            two.down = True  # what it listed is remembered; what only it serves is away
            document, _ = await told(running, model="large", expect=503)
            assert document["error"]["code"] == "generator_unavailable"
            assert (await told(running, model="small"))[1]["x-slipway-pool"] == "a"


async def test_objectives_choose_the_cheapest_pool_that_meets_them_and_say_why_none_does(start: Any, make: Any) -> None:
    async with generators(make, 2) as (slow, quick):
        slow.delay = 0.25
        pools = [pool("slow", slow, cost=1), pool("quick", quick, cost=8)]
        async with start(pools=pools, safety_url=None) as running:
            for _ in range(2):  # nobody has measured the cheap one yet, so it gets its chance
                assert b'" 0"' in await running.stream()
            _, headers = await told(running)
            assert headers["x-slipway-pool"] == "slow"
            _, headers = await told(running, headers={"x-slo-ttft-ms": "100"})
            assert headers["x-slipway-pool"] == "quick"
            async with running.client.post(
                "/v1/chat/completions",
                json={"model": "chat", "messages": [{"role": "user", "content": "hi"}], "stream": True},
                headers={**running.auth, "x-slo-ttft-ms": "100"},
            ) as response:
                await response.read()  # now the quick one is measured too
            started = time.perf_counter()
            document, headers = await told(running, expect=503, headers={"x-slo-ttft-ms": "0.001"})
            assert time.perf_counter() - started < 5
            assert document["error"]["code"] == "slo_unattainable"
            assert "slow: TTFT" in document["error"]["message"]
            assert "quick: TTFT" in document["error"]["message"]
            assert float(headers["retry-after"]) >= 1
            for wrong in ("-1", "soon", "nan", "1e99"):
                assert "x-slo-ttft-ms" in (await told(running, expect=400, headers={"x-slo-ttft-ms": wrong}))[0]["error"]["message"]


async def test_a_full_queue_refuses_at_once_and_those_who_wait_are_served_by_priority(start: Any, make: Any) -> None:
    async with generators(make, 1) as (one,):
        one.delay = 0.3
        settings = {"pools": [pool("only", one, concurrency=1, most=1)], "queue_tokens": 640, "safety_url": None}
        async with start(**settings) as running:
            done: list[str] = []

            async def ask(name: str, priority: int) -> None:
                await told(running, max_tokens=300, priority=priority, messages=[{"role": "user", "content": name}])
                done.append(name)

            first = asyncio.create_task(ask("first", 0))
            await asyncio.sleep(0.1)
            late = asyncio.create_task(ask("late", 50))
            await asyncio.sleep(0.05)
            soon = asyncio.create_task(ask("soon", -50))
            await asyncio.sleep(0.05)
            document, headers = await told(running, expect=429, max_tokens=300)
            assert document["error"]["code"] == "queue_full"
            assert "retry-after" in headers
            await asyncio.gather(first, late, soon)
            assert done == ["first", "soon", "late"]
            assert [seen["messages"][0]["content"] for seen in one.seen] == ["first", "soon", "late"]


async def test_a_caller_who_hangs_up_while_waiting_leaves_the_queue(start: Any, make: Any) -> None:
    async with generators(make, 1) as (one,):
        one.delay = 0.4
        async with start(pools=[pool("only", one, concurrency=1, most=1)], safety_url=None) as running:
            first = asyncio.create_task(told(running))
            await asyncio.sleep(0.1)
            gone = asyncio.create_task(told(running, messages=[{"role": "user", "content": "gone"}]))
            await asyncio.sleep(0.1)
            gone.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await gone
            await first
            await told(running, messages=[{"role": "user", "content": "next"}])
            assert [seen["messages"][0]["content"] for seen in one.seen] == ["hello", "next"]


async def test_a_worker_that_fails_before_the_first_byte_is_not_asked_again_for_that_call(start: Any, make: Any) -> None:
    async with generators(make, 2) as (broken, sound), start(pools=[pool("pair", broken, sound)], safety_url=None) as running:
        await told(running)
        broken.down = True
        for _ in range(4):
            document, _ = await told(running)
            assert document["choices"][0]["message"]["content"] == "pool 1 speaks"
        sound.cut_after = 2
        raw = await running.stream()  # after the first byte nothing is tried again: the stream ends with an error, not with [DONE]
        assert b"event: error" in raw
        assert b"[DONE]" not in raw


async def test_a_higher_tier_steps_in_and_says_so_and_accounts_stay_right(start: Any, make: Any) -> None:
    async with generators(make, 2) as (low, high):
        pools = [pool("low", low, cost=1), pool("high", high, cost=9, tier=1)]
        async with start(pools=pools, safety_url=None) as running:
            await told(running)
            low.status = 503
            document, headers = await told(running)
            assert document["choices"][0]["message"]["content"] == "pool 1 speaks"
            assert (headers["x-slipway-pool"], headers["x-slipway-fallback"]) == ("high", "higher-tier")
            assert document["usage"]["total_tokens"] == 10
            assert b'" 1"' in await running.stream()
            async with running.client.get("/metrics") as response:
                text = await response.text()
            assert 'slipway_fallbacks_total{to="higher-tier"}' in text
            assert 'slipway_pool_running{pool="low"} 0.0' in text
            assert 'slipway_pool_running{pool="high"} 0.0' in text


async def test_without_a_fallback_by_policy_the_error_comes_through(start: Any, make: Any) -> None:
    async with generators(make, 2) as (low, high):
        pools = [pool("low", low, cost=1), pool("high", high, cost=9, tier=1)]
        async with start(pools=pools, safety_url=None, fallbacks={"chat": []}) as running:
            await told(running)
            low.status = 503
            await told(running, expect=503)
            assert not high.seen


async def test_batches_of_callers_share_the_limit_that_a_pool_can_bear(start: Any, make: Any) -> None:
    async with generators(make, 1) as (one,), start(pools=[pool("only", one, concurrency=20)], safety_url=None) as running:
        await told(running)
        one.status = 503
        for _ in range(10):
            await told(running, expect=503)
        async with running.client.get("/metrics") as response:
            lines = (await response.text()).splitlines()
        limit = next(float(line.split()[-1]) for line in lines if line.startswith('slipway_pool_limit{pool="only"}'))
        assert limit < 10
