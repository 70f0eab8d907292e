"""Files, stores and embeddings pass through to the retriever, streaming, with the tenant of the key."""

from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import pytest
from yarl import URL


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/files?limit=3"), ("GET", "/v1/files/file-1"), ("DELETE", "/v1/files/file-1"), ("GET", "/v1/files/file-1/content"),
        ("GET", "/v1/vector_stores"), ("DELETE", "/v1/vector_stores/vs_1"), ("GET", "/v1/vector_stores/vs_1/files/file-2"),
        ("POST", "/v1/vector_stores/vs_1/search"), ("POST", "/v1/vector_stores/vs_1/file_batches/b/cancel"),
    ],
)  # fmt: skip
async def test_each_route_is_relayed_as_it_is(platform: Any, method: str, path: str) -> None:
    async with platform.client.request(method, path, headers=platform.auth, json={"query": "x"} if method == "POST" else None) as response:
        assert response.status == 200
        seen = await response.json()
    assert (seen["method"], seen["path"], seen["tenant"]) == (method, path, "local")


async def test_an_upload_larger_than_the_json_bound_streams_through(platform: Any) -> None:
    async def pieces() -> AsyncGenerator[bytes]:
        for _ in range(20):
            yield b"x" * (1 << 19)

    form = aiohttp.FormData()
    form.add_field("purpose", "assistants")
    form.add_field("file", pieces(), filename="big.txt", content_type="text/plain")
    async with platform.client.post("/v1/files", data=form, headers=platform.auth) as response:
        assert response.status == 200
        assert (await response.json())["bytes"] > 10 << 20
    assert platform.retriever.uploaded.count(b"x" * (1 << 19)) == 20


async def test_an_endless_upload_is_cut_with_413(start: Any) -> None:
    async def endless() -> AsyncGenerator[bytes]:
        while True:
            yield b"x" * (1 << 16)

    async with start(max_body_bytes=1 << 16) as platform:
        headers = {**platform.auth, "content-type": "multipart/form-data; boundary=x"}
        try:
            async with platform.client.post("/v1/files", data=endless(), headers=headers) as response:
                assert response.status == 413
        except aiohttp.ClientConnectionError:
            pass  # the answer came while we still wrote; the server may close first
        assert (await platform.chat())["choices"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/files/..%2f..%2fetc",
        "/v1/files/%2e%2e",
        "/v1/files/%2e/content",
        "/v1/vector_stores/vs_1/files/%2e%2e",
        "/v1/files/a%0d%0ab",
        "/v1/vector_stores/" + "x" * 200,
    ],
)
async def test_ids_that_are_no_ids_are_refused(platform: Any, path: str) -> None:
    url = URL(platform.url + path, encoded=True)  # as it is: a client would resolve the dots itself
    async with platform.client.get(url, headers=platform.auth) as response:
        assert response.status in (400, 404)
    assert platform.retriever.headers == []


async def test_a_retriever_that_is_away_or_absent_is_told_apart_from_a_bad_request(start: Any, platform: Any) -> None:
    platform.retriever.down = True
    async with platform.client.get("/v1/files", headers=platform.auth) as response:
        assert response.status == 502
    async with start(retriever_url=None) as without, without.client.get("/v1/files", headers=without.auth) as response:
        assert response.status == 503
        assert (await response.json())["error"]["code"] == "retriever_unavailable"
