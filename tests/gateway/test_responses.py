"""`/v1/responses`: events in order, the stream equal to the whole, memory per tenant, and a death that is `response.failed`."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from openai.types.responses import Response
from slipway_gateway.frames import Writer
from slipway_gateway.responses.events import Events
from slipway_gateway.responses.output import Head, from_chat
from slipway_gateway.responses.request import ResponsesRequest, to_chat
from slipway_shared import errors

QUESTION = "What is the capital of France?"
SEARCH = {"type": "file_search", "vector_store_ids": ["vs_default"]}


async def create(platform: Any, *, expect: int = 200, **body: Any) -> dict[str, Any]:
    async with platform.client.post("/v1/responses", json={"model": "chat", "input": QUESTION, **body}, headers=platform.auth) as response:
        raw = await response.read()
        assert response.status == expect, raw
        return json.loads(raw)


async def events(platform: Any, **body: Any) -> list[dict[str, Any]]:
    asked = {"model": "chat", "input": QUESTION, "stream": True, **body}
    async with platform.client.post("/v1/responses", json=asked, headers=platform.auth) as response:
        raw = await response.read()
        assert response.status == 200, raw
    out: list[dict[str, Any]] = []
    for block in raw.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and not line.startswith(":"))
        if "data" in lines:
            out.append(json.loads(lines["data"]))
            assert lines["event"] == out[-1]["type"]
    assert b"[DONE]" not in raw
    assert [event["sequence_number"] for event in out] == list(range(len(out)))
    return out


def alike(document: Any) -> Any:
    """A response without what differs from call to call."""
    changing = {"id", "created_at", "completed_at", "item_id"}
    if isinstance(document, dict):
        return {key: alike(value) for key, value in document.items() if key not in changing}
    return [alike(item) for item in document] if isinstance(document, list) else document


async def test_a_response_has_every_field_and_no_null_number(platform: Any) -> None:
    document = await create(platform)
    Response.model_validate(document)
    for name in (
        "temperature",
        "top_p",
        "presence_penalty",
        "frequency_penalty",
        "top_logprobs",
        "tool_choice",
        "truncation",
        "background",
    ):
        assert document[name] is not None, name
    assert document["usage"]["output_tokens_details"] == {"reasoning_tokens": 0}
    assert document["usage"]["input_tokens_details"]["cached_tokens"] == 3
    assert document["output"][0]["content"][0]["text"] == platform.generator.text
    assert document["status"] == "completed"


@pytest.mark.parametrize(
    "body", [{}, {"model": "reader"}, {"tools": [SEARCH], "include": ["file_search_call.results"]}, {"instructions": "be brief"}]
)
async def test_the_stream_says_what_the_whole_says(platform: Any, body: dict[str, Any]) -> None:
    whole = await create(platform, **body)
    told = await events(platform, **body)
    kinds = [event["type"] for event in told]
    assert kinds[:2] == ["response.created", "response.in_progress"] and kinds[-1] == "response.completed"
    final = told[-1]["response"]
    Response.model_validate(final)
    results = [item.pop("results", None) for document in (whole, final) for item in document["output"]]
    assert alike(final) == alike(whole) and results is not None
    assert "".join(e["delta"] for e in told if e["type"] == "response.output_text.delta") == final["output"][-1]["content"][0]["text"]
    assert kinds.index("response.content_part.added") < kinds.index("response.output_text.delta") < kinds.index("response.output_text.done")
    assert kinds[-2] == "response.output_item.done"
    if "tools" in body:
        assert [item["type"] for item in final["output"]] == ["file_search_call", "message"]
        assert final["output"][1]["content"][0]["annotations"][0]["type"] == "file_citation"


async def test_an_upstream_that_dies_is_response_failed(start: Any) -> None:
    async with start(safety_url=None) as platform:
        platform.generator.cut_after = 4
        told = await events(platform)
        assert told[-1]["type"] == "response.failed"
        assert told[-1]["response"]["status"] == "failed" and told[-1]["response"]["error"]["code"] == "upstream_failed"
        platform.generator.cut_after = 0
        assert (await create(platform, expect=503, stream=True))["error"]["code"] == "generator_unavailable"


async def test_a_conversation_goes_on_and_is_nobody_elses(platform: Any) -> None:
    first = await create(platform, input="My name is Ada.", instructions="be brief")
    second = await create(platform, input="What is my name?", previous_response_id=first["id"])
    messages = platform.generator.seen[-1]["messages"]
    assert [m["role"] for m in messages] == ["user", "assistant", "user"] and messages[0]["content"] == "My name is Ada."
    third = await events(platform, input="And now?", previous_response_id=second["id"])
    assert len(platform.generator.seen[-1]["messages"]) == 5
    async with platform.client.get(f"/v1/responses/{third[-1]['response']['id']}", headers=platform.auth) as response:
        assert (await response.json())["status"] == "completed"
    async with platform.client.delete(f"/v1/responses/{first['id']}", headers=platform.auth) as response:
        assert (await response.json())["deleted"]
    assert (await create(platform, expect=404, previous_response_id=first["id"]))["error"]["code"] == "previous_response_not_found"
    forgotten = await create(platform, store=False)
    assert (await create(platform, expect=404, previous_response_id=forgotten["id"]))["error"]


async def test_responses_are_kept_in_redis_per_tenant(start: Any, redis_server: Any) -> None:
    admin = {"authorization": "Bearer admin-token-of-this-test"}
    async with start(redis_url=redis_server.url, redis_seconds=5, admin_token="admin-token-of-this-test") as platform:
        document = await create(platform)
        async with platform.client.post("/admin/keys", json={"tenant": "other"}, headers=admin) as response:
            other = {"authorization": f"Bearer {(await response.json())['key']}"}
        for headers, expected in ((platform.auth, 200), (other, 404)):
            async with platform.client.get(f"/v1/responses/{document['id']}", headers=headers) as response:
                assert response.status == expected
        redis_server.stop()
        assert (await create(platform, store=False))["status"] == "completed"
        assert (await create(platform, expect=503))["error"]["code"] == "store_unavailable"


async def test_a_background_response_is_polled_and_cancelled(platform: Any) -> None:
    done = await create(platform, background=True)
    while done["status"] == "in_progress":
        await asyncio.sleep(0.02)
        async with platform.client.get(f"/v1/responses/{done['id']}", headers=platform.auth) as response:
            done = await response.json()
    assert done["status"] == "completed" and done["output"]
    platform.generator.delay = 30
    platform.generator.seen.clear()
    running = await create(platform, background=True)
    while not platform.generator.seen:
        await asyncio.sleep(0.01)
    async with platform.client.post(f"/v1/responses/{running['id']}/cancel", headers=platform.auth) as response:
        assert (await response.json())["status"] == "cancelled"
    await platform.generator.cancelled.wait()
    async with platform.client.post(f"/v1/responses/{running['id']}/cancel", headers=platform.auth) as response:
        assert response.status == 400


@pytest.mark.parametrize(
    "bad",
    [
        {"input": []}, {"input": "x", "zzz": 1}, {"temperature": 3}, {"tools": [{"type": "web_search"}]}, {"background": True, "stream": True},
        {"previous_response_id": "x"}, {"text": {"format": {"type": "json_schema"}}}, {"model": ""}, {"input": [{"role": "tool", "content": "x"}]},
    ],
)  # fmt: skip
async def test_what_we_do_not_serve_is_refused_by_name(platform: Any, bad: dict[str, Any]) -> None:
    assert set((await create(platform, expect=400, **bad))["error"]) == {"message", "type", "param", "code"}


def test_items_and_tools_become_a_chat_request() -> None:
    asked = ResponsesRequest.model_validate({
        "model": "m", "instructions": "i", "max_output_tokens": 5, "top_logprobs": 2,
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}], "tool_choice": {"type": "function", "name": "f"},
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}},
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call", "call_id": "c2", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "1"},
        ],
    })  # fmt: skip
    body, said = to_chat(asked, [{"role": "user", "content": "before"}])
    chat = json.loads(body)
    assert [m["role"] for m in chat["messages"]] == ["system", "user", "user", "assistant", "tool"] and len(said) == 4
    assert chat["messages"][2]["content"] == "ab" and [c["id"] for c in chat["messages"][3]["tool_calls"]] == ["c1", "c2"]
    assert chat["tools"][0]["function"] == {"name": "f", "parameters": {"type": "object"}} and chat["max_tokens"] == 5
    assert chat["tool_choice"] == {"type": "function", "function": {"name": "f"}} and chat["logprobs"] is True
    assert chat["response_format"]["json_schema"] == {"name": "n", "schema": {"type": "object"}, "strict": True}


async def test_tool_calls_are_joined_and_their_names_come_once() -> None:
    writer = Writer("m")
    pieces = ['{"ci', 'ty": "Pa', 'ris"}', ""]

    async def frames() -> AsyncGenerator[bytes]:
        yield writer.delta({"role": "assistant", "content": None}).raw
        for number in (0, 1):
            first = {"index": number, "id": f"call_{number}", "type": "function", "function": {"name": "look_up", "arguments": ""}}
            yield writer.delta({"tool_calls": [first]}).raw
            for piece in pieces:
                yield writer.delta({"tool_calls": [{"index": number, "function": {"arguments": piece}}]}).raw
        yield writer.delta({}, "tool_calls").raw
        yield writer.usage({"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}).raw

    head = Head(ResponsesRequest(model="m", input="x"))
    run = Events(head, "x")
    told = [json.loads(raw.split(b"data: ")[1]) async for raw in run.run(frames())]
    assert run.final is not None

    async def at_once() -> AsyncGenerator[bytes]:
        yield b"".join([raw async for raw in frames()])

    together = Events(head, "x")
    assert len([raw async for raw in together.run(at_once())]) == len(told) and together.final is not None
    assert alike(together.final) == alike(run.final)
    calls = [{"id": f"call_{n}", "type": "function", "function": {"name": "look_up", "arguments": "".join(pieces)}} for n in (0, 1)]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    whole = from_chat(head, "x", {"choices": [{"message": message, "finish_reason": "tool_calls"}], "usage": usage})
    assert alike(run.final) == alike(whole)
    assert [e["item"]["name"] for e in told if e["type"] == "response.output_item.added"] == ["look_up", "look_up"]
    assert [e["arguments"] for e in told if e["type"] == "response.function_call_arguments.done"] == ['{"city": "Paris"}'] * 2


async def test_a_failure_before_the_first_frame_is_raised() -> None:
    async def frames() -> AsyncGenerator[bytes]:
        raise errors.Overloaded("full")
        yield b""

    with pytest.raises(errors.Overloaded):
        async for _ in Events(Head(ResponsesRequest(model="m", input="x")), "x").run(frames()):
            pass
