"""A retriever that keeps files, and what a batch's tests do over and over."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web

OVER = {"completed", "failed", "expired", "cancelled"}


@dataclass
class Files:
    """`/v1/files` of every tenant, as the retriever answers it: the same bytes under the same name are the same file."""

    kept: dict[tuple[str, str], tuple[str, str, bytes]] = field(default_factory=dict)
    away: bool = False
    gate: asyncio.Event | None = None
    """Set it to make uploads wait."""

    async def route(self, request: web.Request) -> web.StreamResponse:
        tenant = request.headers["x-slipway-tenant"]
        if self.away:
            return web.json_response({"error": {"message": "away", "type": "x", "param": None, "code": None}}, status=503)
        if request.path == "/v1/files":
            if self.gate is not None:
                await self.gate.wait()
            form = await request.post()
            upload = form["file"]
            assert isinstance(upload, web.FileField)
            value = (upload.filename, str(form["purpose"]), upload.file.read())
            known = next((name for name, kept in self.kept.items() if kept == value and name[0] == tenant), None)
            name = known or (tenant, f"file-{len(self.kept)}")
            self.kept[name] = value
            return web.json_response(self.shape(name))
        if request.path == "/v1/embeddings":
            asked = await request.json()
            data = [{"object": "embedding", "index": i, "embedding": [float(len(text))]} for i, text in enumerate([asked["input"]])]
            return web.json_response({"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": 3, "total_tokens": 3}})
        found = (tenant, request.path.split("/")[3])
        if found not in self.kept:
            error = {"error": {"message": "No such file.", "type": "x", "param": None, "code": "file_not_found"}}
            return web.json_response(error, status=404)
        if request.path.endswith("/content"):
            return web.Response(body=self.kept[found][2])
        return web.json_response(self.shape(found))

    def shape(self, name: tuple[str, str]) -> dict[str, Any]:
        filename, purpose, raw = self.kept[name]
        return {"id": name[1], "object": "file", "bytes": len(raw), "filename": filename, "purpose": purpose}


def chat(custom_id: str, text: str = "What is the capital of France?", **body: Any) -> dict[str, Any]:
    """One line for the chat endpoint."""
    asked = {"model": "chat", "messages": [{"role": "user", "content": text}], **body}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": asked}


@dataclass
class Desk:
    """A caller of `/v1/batches`."""

    client: aiohttp.ClientSession
    auth: dict[str, str]

    async def upload(self, lines: list[Any], purpose: str = "batch") -> str:
        form = aiohttp.FormData()
        form.add_field("purpose", purpose)
        raw = b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
        form.add_field("file", raw, filename="in.jsonl")
        return (await self.call("POST", "/v1/files", data=form))["id"]

    async def create(self, lines: list[Any], endpoint: str = "/v1/chat/completions", **more: Any) -> dict[str, Any]:
        asked = {"input_file_id": await self.upload(lines), "endpoint": endpoint, "completion_window": "24h", **more}
        return await self.call("POST", "/v1/batches", json=asked)

    async def call(self, method: str, path: str, *, expect: int = 200, **more: Any) -> Any:
        async with self.client.request(method, path, headers=self.auth, **more) as response:
            raw = await response.read()
            assert response.status == expect, raw
            return json.loads(raw)

    async def state(self, batch_id: str) -> dict[str, Any]:
        return await self.call("GET", f"/v1/batches/{batch_id}")

    async def end(self, batch_id: str) -> dict[str, Any]:
        """The batch when it is over."""
        while (batch := await self.state(batch_id))["status"] not in OVER:
            await asyncio.sleep(0.02)
        return batch

    async def lines(self, file_id: str | None) -> list[dict[str, Any]]:
        """What a result file holds."""
        if file_id is None:
            return []
        async with self.client.get(f"/v1/files/{file_id}/content", headers=self.auth) as response:
            assert response.status == 200
            return [json.loads(line) for line in (await response.read()).splitlines()]


@pytest.fixture
def files() -> Files:
    return Files()


@pytest.fixture
def line_of() -> Any:
    return chat


@pytest.fixture
def desk_of() -> Any:
    return Desk
