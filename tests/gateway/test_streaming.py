"""Streaming truth: what a stream may hold back, how it ends when something breaks, and what a caller who leaves sets free."""

import asyncio
import json
from typing import Any

import pytest

ASKED = {"model": "chat", "messages": [{"role": "user", "content": "hello"}], "stream": True}


@pytest.mark.parametrize("kind", ["abort", "error", "end"])
async def test_a_cut_after_the_first_byte_is_an_error_event_and_never_a_clean_end(start: Any, kind: str) -> None:
    async with start(safety_url=None) as platform:
        platform.generator.cut_after, platform.generator.cut_kind = 3, kind
        raw = await platform.stream()
        last = raw.strip().split(b"\n\n")[-1]
        assert last.startswith(b"event: error\ndata: ")
        assert json.loads(last.split(b"data: ")[1])["error"]["type"] == "upstream_error"
        assert b"[DONE]" not in raw
        assert b"Paris" in raw


async def test_a_cut_before_the_first_byte_is_an_http_error(start: Any) -> None:
    async with start(safety_url=None) as platform:
        platform.generator.cut_after = 0
        answer = await platform.chat(expect=503, stream=True)
        assert answer["error"]["code"] == "generator_unavailable"


async def test_a_readers_draft_that_breaks_off_is_replaced_by_quotes(platform: Any) -> None:
    platform.generator.cut_after = 3
    raw = await platform.stream(model="reader")
    assert b'"type":"fallback"' in raw and raw.endswith(b"data: [DONE]\n\n")


async def test_the_first_token_is_sent_when_it_exists(start: Any) -> None:
    async with start(safety_url=None) as platform:
        platform.generator.hold = 2
        async with platform.client.post("/v1/chat/completions", json=ASKED, headers=platform.auth) as response:
            seen = b""
            while b"Paris" not in seen:
                seen += await response.content.readany()
            assert not platform.generator.go.is_set()
            platform.generator.go.set()
            assert (await response.read()).endswith(b"[DONE]\n\n")


async def test_silence_before_the_first_token_carries_comments(start: Any) -> None:
    async with start(safety_url=None, keepalive_seconds=0.05) as platform:
        platform.generator.hold = 0
        async with platform.client.post("/v1/chat/completions", json=ASKED, headers=platform.auth) as response:
            seen = b""
            while seen.count(b": keep-alive\n\n") < 2:
                seen += await response.content.readany()
            platform.generator.go.set()
            assert b"Paris" in await response.read()


async def test_after_comments_a_failure_is_an_error_event(start: Any) -> None:
    async with start(safety_url=None, keepalive_seconds=0.05) as platform:
        platform.generator.hold, platform.generator.cut_after = 0, 0
        async with platform.client.post("/v1/chat/completions", json=ASKED, headers=platform.auth) as response:
            await response.content.readany()
            platform.generator.go.set()
            rest = await response.read()
            assert b"event: error" in rest and b"[DONE]" not in rest


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("hold", [0, 4])
async def test_a_caller_who_leaves_frees_the_generator(start: Any, stream: bool, hold: int) -> None:
    async with start(safety_url=None) as platform:
        await platform.chat()
        platform.generator.seen.clear()
        platform.generator.hold = hold
        platform.generator.delay = 0 if stream else 30
        asked = {**ASKED, "stream": stream}
        call = asyncio.create_task(platform.client.post("/v1/chat/completions", json=asked, headers=platform.auth).__aenter__())
        while not platform.generator.seen:
            await asyncio.sleep(0.005)
        if stream and hold:
            response = await call
            await response.content.readany()
            response.close()
        else:
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        await asyncio.wait_for(platform.generator.cancelled.wait(), 5)


async def test_a_silent_upstream_ends_the_stream_with_an_error(start: Any) -> None:
    async with start(safety_url=None, idle_seconds=0.2) as platform:
        platform.generator.hold = 3
        raw = await platform.stream()
        assert b"fell silent" in raw and b"[DONE]" not in raw


async def test_the_deadline_ends_a_request_before_and_after_the_first_byte(start: Any) -> None:
    async with start(safety_url=None, deadline_seconds=0.4) as platform:
        await platform.chat()
        platform.generator.hold = 3
        raw = await platform.stream()
        assert b"deadline_exceeded" in raw and b"[DONE]" not in raw
        platform.generator.delay = 5
        assert (await platform.chat(expect=504))["error"]["code"] == "deadline_exceeded"


@pytest.mark.parametrize("garbage", [b"data: {broken\n\n", b"HTTP/1.1 200 OK\n\n", b"data: \n\n", b"data: 17\n\n"])
async def test_garbage_from_upstream_is_an_error_and_is_not_relayed(start: Any, garbage: bytes) -> None:
    async with start(safety_url=None) as platform:
        good = platform.generator.frames(usage=True)
        platform.generator.script = [*good[:3], garbage, *good[3:]]
        raw = await platform.stream()
        assert b"event: error" in raw and b"[DONE]" not in raw and garbage not in raw


async def test_a_terminating_gateway_finishes_its_streams(start: Any) -> None:
    async with start(safety_url=None) as platform:
        platform.generator.hold = 3
        async with platform.client.post("/v1/chat/completions", json=ASKED, headers=platform.auth) as response:
            await response.content.readany()
            platform.server.should_exit = True
            await asyncio.sleep(0.15)
            platform.generator.go.set()
            assert (await response.read()).endswith(b"[DONE]\n\n")
