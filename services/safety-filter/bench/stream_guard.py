"""What checking a prompt and guarding the streamed answer cost a caller: TTFT and inter-token time through real processes, with the filter and without.

A paced upstream (one frame every `gap` seconds) stands for the generator, so that waiting is told from work. Gateways run side by side and requests
alternate between them, so that what else the machine does hits both. It refuses to know tables.
"""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from itertools import pairwise
from pathlib import Path

import aiohttp
from aiohttp import web
from slipway_gateway.keys import digest

KEY = "sk-bench-0123456789abcdef"
WORDS = (
    "The harbour lies in the north of the town , and its boats leave before the sun is up . Who wants to see them go should come at five , "
    "bring a coat and ask the watchman ( he likes company ) . On 3 May the first ferry of the year sails at 6:45 and returns at noon ."
).split()
PROMPT = "When does the first ferry of the year leave the harbour, and what should I bring along?"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextlib.asynccontextmanager
async def upstream(frames: int, gap: float) -> AsyncGenerator[int]:
    """A generator that streams `frames` words, one every `gap` seconds; its port."""
    head = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1700000000, "model": "bench"}

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "bench", "object": "model", "created": 0, "owned_by": "bench"}]})

    async def chat(request: web.Request) -> web.StreamResponse:
        await request.read()
        answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await answer.prepare(request)
        deltas = [{"role": "assistant", "content": ""}, *({"content": f"{WORDS[n % len(WORDS)]} "} for n in range(frames)), {}]
        begun = time.monotonic()
        for n, delta in enumerate(deltas):
            await asyncio.sleep(max(0.0, begun + n * gap - time.monotonic()))
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None if delta else "stop"}
            await answer.write(b"data: " + json.dumps({**head, "choices": [choice], "usage": None}).encode() + b"\n\n")
        usage = {"prompt_tokens": 12, "completion_tokens": frames, "total_tokens": 12 + frames}
        await answer.write(b"data: " + json.dumps({**head, "choices": [], "usage": usage}).encode() + b"\n\ndata: [DONE]\n\n")
        return answer

    app = web.Application()
    app.add_routes([web.get("/v1/models", models), web.post("/v1/chat/completions", chat)])
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield port
    await runner.cleanup()


async def measure(requests: int, frames: int, gap: float, cache: Path) -> dict[str, dict[str, list[float]]]:
    """By row ("no filter", "filter"): seconds `ttft` of each request, `itl` between frames that bring text, and `mean` of each request's `itl`.

    A guard lets frames go in small groups, so the median of `itl` alone would flatter it: the mean says how long an answer takes."""
    with tempfile.TemporaryDirectory() as folder:
        async with upstream(frames, gap) as port:
            ports = {"no filter": free_port(), "filter": free_port()}
            safety = free_port()
            running = [
                _start(
                    "slipway_safety_filter",
                    safety,
                    {"SLIPWAY_SAFETY_CACHE_DIR": str(cache), "SLIPWAY_SAFETY_AUDIT_FILE": f"{folder}/audit"},
                )
            ]
            for name, url in (("no filter", ""), ("filter", f"http://127.0.0.1:{safety}")):
                running.append(_start("slipway_gateway", ports[name], _environ(Path(folder), port, url)))
            try:
                for waiting in (safety, *ports.values()):
                    await _ready(waiting)
                return await _rounds(ports, requests)
            finally:
                for process in running:
                    process.terminate()
                for process in running:
                    process.wait(30)


def _environ(folder: Path, generator: int, safety: str) -> dict[str, str]:
    keys = folder / "keys.json"
    limits = {"requests_per_minute": 10_000_000, "tokens_per_minute": 10_000_000_000, "concurrent_streams": 100_000}
    keys.write_text(json.dumps([{"id": "key_bench", "tenant": "bench", "digest": digest(KEY), "limits": limits}]))
    return {"SLIPWAY_GENERATOR_URL": f"http://127.0.0.1:{generator}", "SLIPWAY_RETRIEVER_URL": "", "SLIPWAY_RERANKER_URL": "", "SLIPWAY_REDIS_URL": "",
            "SLIPWAY_GATEWAY_KEYS_FILE": str(keys), "SLIPWAY_SAFETY_URL": safety}  # fmt: skip


def _start(module: str, port: int, environ: dict[str, str]) -> subprocess.Popen[bytes]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SLIPWAY_")}
    command = [sys.executable, "-m", module, "--port", str(port)]
    return subprocess.Popen(command, env=clean | environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def _ready(port: int) -> None:
    until = time.monotonic() + 60
    async with aiohttp.ClientSession() as client:
        while time.monotonic() < until:
            with contextlib.suppress(aiohttp.ClientError):
                async with client.get(f"http://127.0.0.1:{port}/readyz") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.05)
    raise SystemExit(f"nothing is ready at port {port} after 60 s")


async def _rounds(ports: dict[str, int], requests: int) -> dict[str, dict[str, list[float]]]:
    out: dict[str, dict[str, list[float]]] = {name: {"ttft": [], "itl": [], "mean": []} for name in ports}
    async with aiohttp.ClientSession() as client:
        for n in range(requests + 2):
            for name in sorted(ports, reverse=bool(n % 2)):
                times = await _stream(client, ports[name])
                if n >= 2:  # the first two warm up
                    out[name]["ttft"].append(times[0])
                    out[name]["mean"].append((times[-1] - times[1]) / (len(times) - 2))
                    out[name]["itl"] += [b - a for a, b in pairwise(times[1:])]
    return out


async def _stream(client: aiohttp.ClientSession, port: int) -> list[float]:
    """Seconds from the request to each frame that brings text."""
    asked = {"model": "bench", "messages": [{"role": "user", "content": PROMPT}], "stream": True}
    begun, times = time.perf_counter(), list[float]()
    async with client.post(
        f"http://127.0.0.1:{port}/v1/chat/completions", json=asked, headers={"authorization": f"Bearer {KEY}"}
    ) as answer:
        if answer.status != 200:
            raise SystemExit(f"the gateway answers {answer.status}: {await answer.text()}")
        async for line in answer.content:
            if line.startswith(b"data: {"):
                choices = json.loads(line[6:])["choices"]
                if choices and choices[0]["delta"].get("content"):
                    times.append(time.perf_counter() - begun)
    return times
