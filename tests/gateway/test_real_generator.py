"""The gateway in front of the platform's own generator process, on its weightless engine."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import pytest


@pytest.fixture
async def generator_url() -> AsyncGenerator[str]:
    """`python -m slipway_generator` on a free port, ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environ = {k: v for k, v in os.environ.items() if not k.startswith("SLIPWAY_")} | {"SLIPWAY_GENERATOR_MODEL": "echo"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "slipway_generator", "--port", str(port), env=environ, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with aiohttp.ClientSession() as client:
            for _ in range(600):
                await asyncio.sleep(0.05)
                assert process.returncode is None, "the generator did not start"
                try:
                    async with client.get(f"http://127.0.0.1:{port}/readyz") as response:
                        if response.status == 200:
                            break
                except aiohttp.ClientError:
                    continue
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def test_the_real_generator_is_listed_asked_and_relayed(start: Any, generator_url: str) -> None:
    async with start(generator_url=generator_url, retriever_url=None, reranker_url=None, safety_url=None) as platform:
        async with platform.client.get("/v1/models", headers=platform.auth) as response:
            model = (await response.json())["data"][0]
        body = {"model": model["id"], "retrieval": False, "temperature": 0, "max_tokens": 12}
        whole = await platform.chat(**body)
        raw = await platform.stream(**body, stream_options={"include_usage": True})
        documents = [json.loads(f[6:]) for f in raw.decode().split("\n\n") if f.startswith("data: {")]
        said = "".join(c["delta"].get("content") or "" for d in documents for c in d["choices"])
        assert said == whole["choices"][0]["message"]["content"] and said
        assert documents[-1]["usage"] == whole["usage"] and whole["usage"]["completion_tokens"] > 0
        assert raw.endswith(b"data: [DONE]\n\n")
        too_long = await platform.chat(
            expect=400, model=model["id"], retrieval=False, messages=[{"role": "user", "content": "x " * 400_000}]
        )
        assert too_long["error"]["code"] == "context_length_exceeded"
