"""Responses of two gateways that share a store: one begins, the other reads, goes on, cancels, and notices when the first is gone."""

import asyncio
import json
from typing import Any

import pytest
from slipway_gateway.responses.store import ALIVE_SECONDS, ResponseStore
from slipway_gateway.shelf import MemoryShelf
from slipway_shared import errors


async def call(platform: Any, method: str, path: str, *, expect: int = 200, **body: Any) -> dict[str, Any]:
    async with platform.client.request(method, f"/v1/responses{path}", json=body or None, headers=platform.auth) as response:
        raw = await response.read()
        assert response.status == expect, raw
        return json.loads(raw)


@pytest.mark.parametrize("where", ["redis", "file"])
async def test_what_one_began_the_other_reads_goes_on_with_and_cancels(where: str, start: Any, redis_server: Any, tmp_path: Any) -> None:
    common = {"redis_url": redis_server.url} if where == "redis" else {"state_file": tmp_path / "state"}
    async with start(**common) as one, start(**common) as two:
        first = await call(one, "POST", "", model="chat", input="What is the capital of France?")
        second = await call(two, "POST", "", model="chat", input="And of Spain?", previous_response_id=first["id"])
        assert len(two.generator.seen[-1]["messages"]) == 3 and second["previous_response_id"] == first["id"]
        done = await call(one, "POST", "", model="chat", input="What is the capital of France?", background=True)
        while (document := await call(two, "GET", f"/{done['id']}"))["status"] == "in_progress":
            await asyncio.sleep(0.02)
        assert document["status"] == "completed" and document["output"]
        one.generator.delay = 3600.0
        slow = await call(one, "POST", "", model="chat", input="What is the capital of France?", background=True)
        assert (await call(two, "GET", f"/{slow['id']}"))["status"] == "in_progress"
        assert (await call(two, "POST", f"/{slow['id']}/cancel"))["status"] == "cancelled"
        await asyncio.wait_for(one.generator.cancelled.wait(), 10)
        await call(two, "POST", f"/{slow['id']}/cancel", expect=400)
        await call(two, "DELETE", f"/{slow['id']}")
        await call(one, "GET", f"/{slow['id']}", expect=404)


async def test_a_response_whose_process_is_gone_has_failed() -> None:
    shelf = MemoryShelf()
    store = ResponseStore(shelf, 60)
    assert await store.alive("acme", "resp_1")
    await store.put("acme", {"id": "resp_1", "status": "in_progress"}, [])
    assert (await store.get("acme", "resp_1"))[0]["status"] == "in_progress"
    await shelf.swap("response:acme:resp_1:alive", b"1", b"")  # what happens by itself after ALIVE_SECONDS
    failed = (await store.get("acme", "resp_1"))[0]
    assert failed["status"] == "failed" and failed["error"]["code"] == "server_error" and ALIVE_SECONDS < 60
    await store.put("acme", {"id": "resp_1", "status": "completed"}, [])
    assert (await store.get("acme", "resp_1"))[0]["status"] == "completed"
    with pytest.raises(errors.NotFound):
        await store.get("other", "resp_1")
