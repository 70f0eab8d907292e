"""Batches over HTTP: every endpoint, every state, who may see them, and that callers who wait go first."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from openai.types import Batch
from slipway_gateway.batches.work import ATTEMPTS


@pytest.fixture
async def house(start: Any, files: Any) -> AsyncGenerator[Any]:
    async with start(batch_patience_seconds=60.0, batch_lines=8, batch_bytes=20_000) as platform:
        platform.retriever.intercept = files.route
        yield platform


@pytest.fixture
def desk(house: Any, desk_of: Any) -> Any:
    return desk_of(house.client, house.auth)


async def test_every_line_is_answered_once_and_counted(house: Any, desk: Any, line_of: Any) -> None:
    bad = line_of("three", model="nope")
    batch = await desk.create([line_of("one"), line_of("two", max_tokens=9), bad], metadata={"for": "test"})
    Batch.model_validate(batch)
    assert batch["status"] == "validating" and batch["expires_at"] - batch["created_at"] == 24 * 3600
    done = await desk.end(batch["id"])
    Batch.model_validate(done)
    assert (done["status"], done["request_counts"]) == ("completed", {"total": 3, "completed": 2, "failed": 1})
    assert done["created_at"] <= done["in_progress_at"] <= done["finalizing_at"] <= done["completed_at"] and done["metadata"] == {
        "for": "test"
    }
    good, failed = await desk.lines(done["output_file_id"]), await desk.lines(done["error_file_id"])
    assert [line["custom_id"] for line in good] == ["one", "two"] and [line["custom_id"] for line in failed] == ["three"]
    assert all(line["response"]["status_code"] == 200 and line["error"] is None for line in good)
    assert good[0]["response"]["body"]["choices"][0]["message"]["content"] == house.generator.text
    assert failed[0]["response"]["status_code"] == 404 and failed[0]["response"]["body"]["error"]["code"] == "model_not_found"
    assert {asked["priority"] for asked in house.generator.seen} == {100}
    async with house.client.get("/metrics") as response:
        text = await response.text()
    assert 'slipway_batches_total{outcome="completed"} 1.0' in text and 'slipway_batch_lines_total{result="failed"} 1.0' in text
    assert 'slipway_tokens_total{direction="output",model="chat"}' in text


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("/v1/embeddings", {"model": "minilm", "input": "four"}),
        ("/v1/responses", {"model": "chat", "input": "What is the capital of France?"}),
    ],
)
async def test_the_other_endpoints_run_too(house: Any, desk: Any, endpoint: str, body: dict[str, Any]) -> None:
    batch = await desk.create([{"custom_id": "a", "method": "POST", "url": endpoint, "body": body}], endpoint)
    done = await desk.end(batch["id"])
    assert done["status"] == "completed", done
    answer = (await desk.lines(done["output_file_id"]))[0]["response"]["body"]
    assert answer["object"] in ("list", "response")
    assert all(asked["priority"] == 100 for asked in house.generator.seen)


async def test_a_file_that_is_no_batch_fails_whole_and_tells_each_line(house: Any, desk: Any, line_of: Any) -> None:
    lines: list[Any] = [
        line_of("fine"), b"{no json", {**line_of("x"), "url": "/v1/embeddings"}, line_of("fine"), {**line_of("y"), "method": "GET"},
        line_of("s", stream=True), [1],
    ]  # fmt: skip
    done = await desk.end((await desk.create(lines))["id"])
    assert done["status"] == "failed" and done["failed_at"] and done["output_file_id"] is None
    told = [(problem["line"], problem["code"]) for problem in done["errors"]["data"]]
    assert told == [
        (2, "invalid_json_line"), (3, "mismatched_endpoint"), (4, "duplicate_custom_id"), (5, "invalid_request"), (6, "invalid_request"),
        (7, "invalid_request"),
    ]  # fmt: skip
    assert [line["error"]["line"] for line in await desk.lines(done["error_file_id"])] == [2, 3, 4, 5, 6, 7]
    assert house.generator.seen == []
    long = await desk.end((await desk.create([line_of(f"line {n}") for n in range(9)]))["id"])
    assert long["errors"]["data"][0]["code"] == "too_many_lines"
    empty = await desk.end((await desk.create([b"", b"  "]))["id"])
    assert empty["errors"]["data"][0]["code"] == "empty_file"


async def test_what_is_no_batch_request_is_refused_at_once(desk: Any, line_of: Any) -> None:
    good = {"input_file_id": await desk.upload([line_of("a")]), "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    await desk.call("POST", "/v1/batches", json={**good, "input_file_id": "file-nope"}, expect=404)
    await desk.call("POST", "/v1/batches", json={**good, "completion_window": "1h"}, expect=400)
    await desk.call("POST", "/v1/batches", json={**good, "endpoint": "/v1/rerank"}, expect=400)
    await desk.call("POST", "/v1/batches", json={**good, "metadata": {"k" * 65: "v"}}, expect=400)
    wrong = await desk.upload([line_of("a")], purpose="assistants")
    refused = await desk.call("POST", "/v1/batches", json={**good, "input_file_id": wrong}, expect=400)
    assert refused["error"]["param"] == "input_file_id"
    large = await desk.upload([line_of("a", "x" * 20_000)])
    await desk.call("POST", "/v1/batches", json={**good, "input_file_id": large}, expect=413)
    await desk.call("GET", f"/v1/batches/batch_{'0' * 32}", expect=404)
    await desk.call("GET", "/v1/batches/batch_x", expect=400)


async def test_batches_are_listed_newest_first_and_page_by_page(desk: Any, line_of: Any) -> None:
    made = [(await desk.create([line_of("a")]))["id"] for _ in range(3)]
    first = await desk.call("GET", "/v1/batches?limit=2")
    assert [batch["id"] for batch in first["data"]] == [made[2], made[1]] and first["has_more"]
    rest = await desk.call("GET", f"/v1/batches?limit=2&after={first['last_id']}")
    assert [batch["id"] for batch in rest["data"]] == [made[0]] and not rest["has_more"]


async def test_a_cancelled_batch_keeps_what_was_answered(house: Any, desk: Any, line_of: Any) -> None:
    hang = asyncio.Event()  # never set

    async def slow(request: Any) -> Any:
        if request.path == "/v1/chat/completions":
            house.generator.seen.append(await request.json())
            if house.generator.seen[-1]["messages"][0]["content"] == "hang":
                await hang.wait()
        return await house.generator.answer(request)

    house.generator.intercept = slow
    batch = await desk.create([line_of("quick"), *(line_of(f"slow {n}", "hang") for n in range(4))])
    while (await desk.state(batch["id"]))["request_counts"]["completed"] < 1:
        await asyncio.sleep(0.02)
    cancelled = await desk.call("POST", f"/v1/batches/{batch['id']}/cancel")
    assert cancelled["status"] in ("cancelling", "cancelled") and cancelled["cancelling_at"]
    done = await desk.end(batch["id"])
    assert done["status"] == "cancelled" and done["cancelled_at"]
    assert [line["custom_id"] for line in await desk.lines(done["output_file_id"])] == ["quick"] and done["error_file_id"] is None
    await desk.call("POST", f"/v1/batches/{batch['id']}/cancel", expect=409)


async def test_lines_step_aside_while_a_caller_waits(house: Any, desk: Any, line_of: Any) -> None:
    house.generator.hold = 2
    talk = asyncio.create_task(house.stream())
    while not house.generator.seen:
        await asyncio.sleep(0.01)
    batch = await desk.create([line_of("a")])
    while (await desk.state(batch["id"]))["status"] != "in_progress":
        await asyncio.sleep(0.01)
    for _ in range(20):
        await desk.call("GET", "/v1/models")  # what nobody generates for does not count
    assert (await desk.state(batch["id"]))["request_counts"]["completed"] == 0 and len(house.generator.seen) == 1
    house.generator.go.set()
    await talk
    assert (await desk.end(batch["id"]))["request_counts"]["completed"] == 1


async def test_in_a_house_that_is_always_busy_lines_go_ahead_after_a_while(start: Any, files: Any, desk_of: Any, line_of: Any) -> None:
    async with start(batch_patience_seconds=0.05) as house:
        house.retriever.intercept = files.route
        house.generator.hold = 2
        talk = asyncio.create_task(house.stream())
        while not house.generator.seen:
            await asyncio.sleep(0.01)
        desk = desk_of(house.client, house.auth)
        assert (await desk.end((await desk.create([line_of("a")]))["id"]))["status"] == "completed"
        assert not talk.done()
        house.generator.go.set()
        await talk


async def test_load_is_waited_out_and_faults_are_tried_again(house: Any, desk: Any, line_of: Any) -> None:
    seen = 0

    async def moody(request: Any) -> Any:
        nonlocal seen
        if request.path == "/v1/chat/completions":
            seen += 1
            if seen <= ATTEMPTS + 1:
                house.generator.status = 429
                try:
                    answer = await house.generator.handle(request)
                finally:
                    house.generator.status = 0
                answer.headers["retry-after"] = "0"
                return answer
        return await house.generator.handle(request)

    house.generator.intercept = moody
    done = await desk.end((await desk.create([line_of("a")]))["id"])
    assert done["request_counts"] == {"total": 1, "completed": 1, "failed": 0} and seen == ATTEMPTS + 2


async def test_limits_and_the_safety_policy_hold_for_lines(start: Any, files: Any, desk_of: Any, line_of: Any, tmp_path: Any) -> None:
    async with start(
        admin_token="admin-token-of-the-test", keys_file=tmp_path / "keys", prices={"chat": {"input": 1e6, "output": 1e6}}
    ) as house:
        house.retriever.intercept = files.route
        admin = {"authorization": "Bearer admin-token-of-the-test"}
        asked = {"tenant": "acme", "name": "b", "limits": {"budget_usd": 60}}
        async with house.client.post("/admin/keys", json=asked, headers=admin) as response:
            made = await response.json()
        desk = desk_of(house.client, {"authorization": f"Bearer {made['key']}"})
        lines = [line_of("blocked", "FORBIDDEN", max_tokens=1), *(line_of(str(n), max_tokens=1) for n in range(6))]
        done = await desk.end((await desk.create(lines))["id"])  # reading costs nothing, so a used-up budget does not forbid it
        codes = {line["custom_id"]: line["response"]["body"]["error"]["code"] for line in await desk.lines(done["error_file_id"])}
        assert codes.pop("blocked") == "content_policy_violation"
        assert codes and set(codes.values()) == {"budget_limit"}
        other = desk_of(house.client, house.auth)
        await other.call("GET", f"/v1/batches/{done['id']}", expect=404)
        await other.call("POST", f"/v1/batches/{done['id']}/cancel", expect=404)
        assert (await other.call("GET", "/v1/batches"))["data"] == []


async def test_a_batch_whose_key_was_revoked_ends(start: Any, files: Any, desk_of: Any, line_of: Any, tmp_path: Any) -> None:
    async with start(admin_token="admin-token-of-the-test", keys_file=tmp_path / "keys", key_cache_seconds=0) as house:
        house.retriever.intercept = files.route
        admin = {"authorization": "Bearer admin-token-of-the-test"}
        async with house.client.post("/admin/keys", json={"tenant": "acme", "name": "b"}, headers=admin) as response:
            made = await response.json()
        desk = desk_of(house.client, {"authorization": f"Bearer {made['key']}"})
        file = await desk.upload([line_of(str(n)) for n in range(3)])
        asked = {"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        house.generator.delay = 0.2
        batch = await desk.call("POST", "/v1/batches", json=asked)
        async with house.client.delete(f"/admin/keys/{made['id']}", headers=admin) as response:
            assert response.status == 200
        async with house.client.post("/admin/keys", json={"tenant": "acme", "name": "new"}, headers=admin) as response:
            fresh = desk_of(house.client, {"authorization": f"Bearer {(await response.json())['key']}"})
        done = await fresh.end(batch["id"])
        assert done["status"] == "failed" and done["errors"]["data"][0]["code"] == "invalid_api_key"
        told = [*await fresh.lines(done["output_file_id"]), *await fresh.lines(done["error_file_id"])]
        assert sorted(line["custom_id"] for line in told) == ["0", "1", "2"]
        assert {line["error"]["code"] for line in told if line["error"]} == {"batch_failed"}


async def test_results_that_cannot_be_written_now_are_written_later(house: Any, desk: Any, line_of: Any, files: Any) -> None:
    asked = {"input_file_id": await desk.upload([line_of("a")]), "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    batch = await desk.call("POST", "/v1/batches", json=asked)
    files.away = True
    await desk.call("POST", "/v1/batches", json=asked, expect=503)
    for _ in range(30):
        await asyncio.sleep(0.02)
    state = await desk.state(batch["id"])
    assert state["status"] in ("validating", "in_progress", "finalizing")
    files.away = False
    done = await desk.end(batch["id"])
    assert done["status"] == "completed" and len(await desk.lines(done["output_file_id"])) == 1
