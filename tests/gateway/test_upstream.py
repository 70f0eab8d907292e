"""Calls to a part that fails: which are tried again, which count, and which are not made."""

import asyncio
from typing import Any


async def metric(platform: Any, name: str) -> str:
    async with platform.client.get("/metrics") as response:
        text = await response.text()
    return next((line.split()[1] for line in text.splitlines() if line.startswith(name)), "0")


async def test_a_part_that_fails_in_a_row_is_not_asked_until_a_probe_is_fine(start: Any) -> None:
    async with start(breaker_failures=3, breaker_seconds=0.3, safety_url=None) as platform:
        await platform.chat()
        platform.generator.status = 500
        for _ in range(3):
            await platform.chat(expect=503)
        asked = len(platform.generator.headers)
        await platform.chat(expect=503)
        assert len(platform.generator.headers) == asked
        assert await metric(platform, 'slipway_breaker_open{upstream="generator"}') == "1.0"
        platform.generator.status = 0
        await asyncio.sleep(0.35)
        assert (await platform.chat())["choices"]
        assert await metric(platform, 'slipway_breaker_open{upstream="generator"}') == "0.0"


async def test_refusals_of_requests_and_of_load_never_open_the_breaker(start: Any) -> None:
    async with start(breaker_failures=2, safety_url=None) as platform:
        await platform.chat()
        for status, expected in ((400, 400), (404, 404), (429, 429), (503, 503)):
            platform.generator.status = status
            for _ in range(4):
                await platform.chat(expect=expected)
        platform.generator.status = 0
        assert (await platform.chat())["choices"]


async def test_a_call_that_never_arrived_is_made_once_more(start: Any) -> None:
    async with start(safety_url=None) as platform:
        await platform.chat()
        original = platform.generator.handle
        aborted = 0

        async def abort_once(request: Any) -> Any:
            nonlocal aborted
            if not aborted and request.method == "POST":
                aborted += 1
                request.transport.abort()
            return await original(request)

        platform.generator.intercept = abort_once
        assert (await platform.chat())["choices"]
        assert aborted == 1
        assert await metric(platform, 'slipway_retries_total{upstream="generator"}') == "1.0"


async def test_one_dead_part_does_not_stop_the_others(platform: Any) -> None:
    platform.reranker.delay = 30
    answers = await asyncio.gather(*(platform.chat() for _ in range(8)))
    assert all(answer["choices"] for answer in answers)


async def test_a_slow_reranker_is_left_behind(start: Any) -> None:
    async with start(rerank_seconds=0.1) as platform:
        platform.reranker.delay = 30
        answer = await platform.chat(model="reader")
        assert answer["choices"][0]["message"]["annotations"][0]["type"] == "file_citation"


async def test_many_streams_at_once_all_end_well(start: Any) -> None:
    async with start(safety_url=None) as platform:
        streams = await asyncio.gather(*(platform.stream() for _ in range(60)))
        assert all(raw.endswith(b"data: [DONE]\n\n") for raw in streams)
        assert len({raw.split(b": x-slipway-timing")[0] for raw in streams}) == 1
