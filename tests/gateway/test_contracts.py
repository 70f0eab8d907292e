"""Behaviours of docs/contracts.md that no other file of the gateway's tests holds."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from slipway_gateway.account import Account
from slipway_gateway.buckets import LocalBuckets, Scope, Use
from slipway_gateway.keys import Key, Limits, digest, new_secret
from slipway_gateway.keystores import FileKeys
from slipway_gateway.streaming import EventStream

ADMIN = {"authorization": "Bearer admin-token-of-the-test"}
CHAT: dict[str, Any] = {"model": "chat", "messages": [{"role": "user", "content": "What is the capital of France?"}]}


async def key_for(platform: Any, **body: Any) -> dict[str, str]:
    async with platform.client.post("/admin/keys", json={"tenant": "acme", "name": "k", **body}, headers=ADMIN) as response:
        assert response.status == 201
        return {"authorization": f"Bearer {(await response.json())['key']}"}


async def test_a_stream_whose_first_frame_never_came_gives_its_account_back() -> None:
    """Contract 8: the caller is gone before the first frame came."""
    ran: list[str] = []

    async def frames() -> AsyncGenerator[bytes]:
        try:
            await asyncio.Event().wait()
            yield b"data: 1\n\n"
        finally:
            ran.append("frames")

    async def gone() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        raise AssertionError("nobody is there to be told anything")

    stream = EventStream(frames(), headers=dict, keepalive_seconds=60, ended=lambda: ran.append("ended"))
    await stream({"type": "http"}, gone, send)
    assert ran == ["frames", "ended"]


async def test_a_reader_who_stands_still_costs_bounded_memory_and_delays_nobody(start: Any) -> None:
    """Contract 12."""
    sent = 0
    total = 64 << 20

    async with start(safety_url=None) as platform:

        async def flood(request: web.Request) -> web.StreamResponse:
            nonlocal sent
            if request.path == "/v1/models" or b"flood" not in await request.read():
                platform.generator.seen.append(await request.json() if request.can_read_body else {})
                return await platform.generator.answer(request)
            response = web.StreamResponse(headers={"content-type": "text/event-stream"})
            await response.prepare(request)
            frame = b'data: {"choices":[{"index":0,"delta":{"content":"' + b"x" * 60_000 + b'"},"finish_reason":null}]}\n\n'
            while sent < total:
                await response.write(frame)
                sent += len(frame)
            return response

        platform.generator.intercept = flood
        host, port = platform.url.removeprefix("http://").split(":")
        body = json.dumps({**CHAT, "stream": True, "messages": [{"role": "user", "content": "flood"}]}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: {platform.auth['authorization']}\r\ncontent-length: {len(body)}\r\n\r\n"
        with socket.create_connection((host, int(port))) as still:
            still.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            still.sendall(head.encode() + body)
            # It reads nothing; what the upstream could send comes to rest at what the buffers on the way hold.
            before = -1
            while before != sent or sent == 0:
                before = sent
                await asyncio.sleep(0.3)
            assert 0 < sent < total // 4
            assert all([(await platform.stream()).endswith(b"data: [DONE]\n\n") for _ in range(5)])
            assert sent < total // 4


@pytest.mark.slow
async def test_a_thousand_streams_at_once_all_end_well(start: Any) -> None:
    """Contract 31: as many as the pool bears run, the others wait for their turn, and none is lost."""
    # Callers, gateway and generator share this test's one loop, so a connection may wait for all of them.
    async with start(safety_url=None, connect_seconds=60) as platform:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(platform.url, connector=connector) as many:

            async def stream() -> bytes:
                body = {**CHAT, "stream": True, "max_tokens": 16}
                async with many.post("/v1/chat/completions", json=body, headers=platform.auth) as response:
                    assert response.status == 200, await response.read()
                    return await response.read()

            answers = await asyncio.gather(*(stream() for _ in range(1000)))
        assert all(raw.endswith(b"data: [DONE]\n\n") for raw in answers)
        assert len({raw.split(b": x-slipway-timing")[0] for raw in answers}) == 1


async def test_a_changed_limit_holds_for_a_known_key_after_the_stated_time(start: Any, tmp_path: Path) -> None:
    """Contract 21: within key_cache_seconds."""
    secret = new_secret()
    store = FileKeys(tmp_path / "keys")
    key = Key(id="key_a", tenant="acme", digest=digest(secret), limits=Limits(requests_per_minute=1000))
    await store.put(key)
    async with start(keys_file=tmp_path / "keys", key_cache_seconds=0.2) as platform:
        auth = {"authorization": f"Bearer {secret}"}

        async def limit() -> str:
            async with platform.client.get("/v1/models", headers=auth) as response:
                return response.headers["x-ratelimit-limit-requests"]

        assert await limit() == "1000"
        await store.put(key.model_copy(update={"limits": Limits(requests_per_minute=500)}))  # by another process
        await asyncio.sleep(0.25)
        assert await limit() == "500"


async def test_a_used_up_budget_holds_on_every_route_and_alias(start: Any, tmp_path: Path) -> None:
    """Contracts 22 and 27: what costs money is refused before any body byte, with what is left and when to come back. What costs nothing is served."""
    prices = {"chat": {"input": 1e6, "output": 1e6}, "embeddings": {"input": 1e6, "output": 0}}
    async with start(admin_token=ADMIN["authorization"][7:], keys_file=tmp_path / "keys", prices=prices) as platform:
        platform.generator.cards = [*platform.generator.cards, {**platform.generator.cards[1], "id": "chat:int8"}]
        auth = await key_for(platform, limits={"budget_usd": 300, "requests_per_minute": 1000, "tokens_per_minute": 100_000})
        while (await _post(platform, auth, "/v1/chat/completions", {**CHAT, "max_tokens": 200}))[0] == 200:
            pass
        asked = len(platform.generator.seen)
        for path, body in (
            ("/v1/chat/completions", {**CHAT, "model": "chat:int8"}),
            ("/v1/chat/completions", {**CHAT, "stream": True}),
            ("/v1/completions", {"model": "chat", "prompt": "x", "max_tokens": 300}),
            ("/v1/responses", {"model": "chat", "input": "x"}),
            ("/v1/embeddings", {"model": "any-name", "input": "x" * 1000}),
        ):
            status, headers, raw = await _post(platform, auth, path, body)
            assert status == 429 and json.loads(raw)["error"]["code"] == "budget_limit", path
            assert int(headers["retry-after"]) > 0 and int(headers["x-ratelimit-remaining-requests"]) > 0
        assert len(platform.generator.seen) == asked and platform.retriever.seen == []
        for path in ("/v1/models", "/v1/files", "/v1/vector_stores"):
            async with platform.client.get(path, headers=auth) as response:
                assert response.status == 200, path
        assert (await _post(platform, auth, "/v1/rerank", {"query": "x", "documents": ["x"], "top_n": 1}))[0] == 200
        assert (await _post(platform, auth, "/v1/chat/completions", {**CHAT, "model": "reader"}))[0] == 200  # has no price


async def test_last_months_spend_blocks_nobody() -> None:
    """Contract 24."""
    buckets = LocalBuckets()
    scopes = (Scope("key:a", Limits(budget_usd=1)),)
    assert buckets.reserve(scopes, "r1", Use(1, 0, 1_000_000), 60).admitted
    buckets.settle(scopes, "r1", Use())
    assert not buckets.reserve(scopes, "r2", Use(1, 0, 1), 60).admitted
    state = buckets._states["key:a"]  # pyright: ignore[reportPrivateUsage] -- the clock is the calendar
    assert state.month == datetime.now(UTC).strftime("%Y-%m")
    state.month = "1999-12"
    assert buckets.reserve(scopes, "r3", Use(1, 0, 1), 60).admitted


async def test_the_time_of_every_stage_is_told_and_adds_up(platform: Any) -> None:
    """Contract 79."""
    platform.reranker.delay = platform.retriever.delay = platform.safety.delay = 0.03
    headers = (await platform.chat(model="reader", retrieval={"top_k": 2}))["_headers"]
    whole = dict(pair.split("=") for pair in headers["x-slipway-timing"].split(";"))
    told = re.search(rb": x-slipway-timing (\S+)", await platform.stream(model="reader", retrieval={"top_k": 2}))
    assert told
    streamed = dict(pair.split("=") for pair in told.group(1).decode().split(";"))
    for stages in (whole, streamed):
        spent = {name: float(value) for name, value in stages.items()}
        assert all(spent[name] >= 29 for name in ("safety", "retrieve", "rerank")) and spent["queue"] >= 0
        # Search runs beside the first safety check, so the sum of what must follow each other is within the time to the first token.
        assert spent["retrieve"] + spent["rerank"] <= spent["ttft"] + 1
    assert float(streamed["ttft"]) <= float(streamed["total"])


@pytest.mark.parametrize("text", ["The code is SECRET-1234 for now.", "All is well until FORBIDDEN comes."])
async def test_usage_is_the_generators_own_in_moderated_streams_too(platform: Any, text: str) -> None:
    """Contracts 14 and 83: what was generated is paid for, also when it is hidden."""
    platform.generator.text = text
    raw = await platform.stream(stream_options={"include_usage": True})
    frames = [json.loads(block[6:]) for block in raw.decode().split("\n\n") if block.startswith("data: {")]
    if "SECRET" in text:
        assert frames[-1]["usage"] == platform.generator.usage() and frames[-1]["choices"] == []
    async with platform.client.get("/metrics") as response:
        spent = dict(re.findall(r'slipway_tokens_total\{direction="(\w+)",model="chat"\} (\S+)', await response.text()))
    assert float(spent["output"]) > 0 and float(spent["input"]) > 0


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", CHAT),
        ("/v1/completions", {"model": "chat", "prompt": "x"}),
        ("/v1/responses", {"model": "chat", "input": "x"}),
    ],
)
async def test_every_route_that_streams_is_scanned(platform: Any, path: str, body: dict[str, Any]) -> None:
    """Contract 81."""
    platform.generator.text = "The code is SECRET-1234 for now."
    if path == "/v1/completions":
        pieces = [
            json.dumps({"id": "c", "object": "text_completion", "choices": [{"index": 0, "text": word}]})
            for word in platform.generator.words()
        ]
        platform.generator.script = [f"data: {piece}\n\n".encode() for piece in pieces] + [b"data: [DONE]\n\n"]
    _, _, raw = await _post(platform, platform.auth, path, {**body, "stream": True})
    assert b"SECRET-1234" not in raw and b"[HIDDEN]" in raw


def test_an_account_that_saw_nothing_is_charged_nothing() -> None:
    """Contract 18: what was reserved and not used goes back."""
    account = Account("m", 100)
    assert account.used == (0, 0)
    account.asked()
    account.frame()
    assert account.used == (100, 1)
    account.exact({"prompt_tokens": 7, "completion_tokens": 3})
    assert account.used == (7, 3)


async def _post(platform: Any, auth: dict[str, str], path: str, body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    async with platform.client.post(path, json=body, headers=auth) as response:
        return response.status, {name.lower(): value for name, value in response.headers.items()}, await response.read()
