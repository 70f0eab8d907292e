"""What was hidden of a prompt stands in its answer again, where the caller asks for it: in text, tool calls and streams, however they are cut."""

import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from slipway_gateway.frames import Frame, Writer
from slipway_gateway.restoring import Restorer

VALUES = {"[EMAIL_0a1b2c3d]": 'ada"@example.org', "[PHONE_9f8e7d6c]": "+44 20 7946 0000"}
SAID = "Write to [EMAIL_0a1b2c3d] or call [PHONE_9f8e7d6c]; [EMAIL_0a1b2c3d] is [not] better [EMAIL_0"
MEANT = 'Write to ada"@example.org or call +44 20 7946 0000; ada"@example.org is [not] better [EMAIL_0'


async def stream(deltas: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The deltas that come out; the last one that goes in ends its choice."""
    writer = Writer("m")

    async def frames() -> AsyncGenerator[Frame]:
        for delta in deltas:
            yield writer.delta(delta)
        yield writer.delta({}, "stop")
        yield Frame(b"data: [DONE]\n\n")

    restorer = Restorer(VALUES)
    out = [restorer.frame(frame) async for frame in frames()]
    assert out[-1].done
    return [choice["delta"] for frame in out for choice in frame.choices]


def both(cut: int, text: str) -> list[str]:
    return [text[:cut], text[cut:]]


@pytest.mark.parametrize("width", [1, 2, 3, 7, 16, 200])
async def test_a_stream_says_what_the_whole_answer_says_however_it_is_cut(width: int) -> None:
    pieces = [SAID[at : at + width] for at in range(0, len(SAID), width)]
    assert "".join(delta.get("content", "") for delta in await stream([{"content": piece} for piece in pieces])) == MEANT
    choice: dict[str, Any] = {"index": 0, "message": {"content": SAID}, "logprobs": {"content": []}}
    Restorer(VALUES).choice(choice)
    assert choice["message"]["content"] == MEANT and choice["logprobs"] is None


async def test_cuts_at_every_character() -> None:
    for cut in range(len(SAID) + 1):
        assert "".join(delta.get("content", "") for delta in await stream([{"content": piece} for piece in both(cut, SAID)])) == MEANT


async def test_arguments_of_tool_calls_stay_json() -> None:
    arguments = json.dumps({"to": "[EMAIL_0a1b2c3d]"})
    for cut in range(len(arguments) + 1):
        first, second = both(cut, arguments)
        calls = [
            {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "send", "arguments": first}}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": second}}]},
        ]
        told = [call for delta in await stream(calls) for call in delta.get("tool_calls", [])]
        assert json.loads("".join(call["function"]["arguments"] for call in told)) == {"to": VALUES["[EMAIL_0a1b2c3d]"]}
        assert told[0]["function"]["name"] == "send"
    choice: dict[str, Any] = {"message": {"content": None, "tool_calls": [{"function": {"name": "send", "arguments": arguments}}]}}
    Restorer(VALUES).choice(choice)
    assert json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"]) == {"to": VALUES["[EMAIL_0a1b2c3d]"]}


async def test_citations_point_into_the_text_as_it_is_read() -> None:
    text = "Ask [EMAIL_0a1b2c3d] [1]."
    note = {"type": "file_citation", "index": text.index("[1]")}
    deltas = await stream([{"content": text[:10]}, {"content": text[10:]}, {"annotations": [note]}])
    said = "".join(delta.get("content", "") for delta in deltas)
    moved = next(delta["annotations"][0]["index"] for delta in deltas if delta.get("annotations"))
    assert said[moved : moved + 3] == "[1]"


async def test_choices_of_one_answer_do_not_mix() -> None:
    writer = Writer("m")

    async def frames() -> AsyncGenerator[Frame]:
        for index, text in ((0, "a [EMAIL_0a"), (1, "b [PHONE_"), (0, "1b2c3d]"), (1, "9f8e7d6c]")):
            yield writer.delta({"content": text}, index=index)

    said: dict[int, str] = {}
    restorer = Restorer(VALUES)
    async for frame in frames():
        for choice in restorer.frame(frame).choices:
            said[choice["index"]] = said.get(choice["index"], "") + choice["delta"].get("content", "")
    assert said == {0: 'a ada"@example.org', 1: "b +44 20 7946 0000"}


async def test_the_model_sees_placeholders_and_the_caller_what_they_stand_for_only_where_asked(platform: Any) -> None:
    platform.generator.text = "Your code is [HIDDEN]."
    messages = [{"role": "user", "content": "my code is SECRET-1234"}]
    for asked, told in ((True, "Your code is SECRET-1234."), (False, "Your code is [HIDDEN].")):
        answer = await platform.chat(messages=messages, restore_redacted=asked)
        assert answer["choices"][0]["message"]["content"] == told
        raw = await platform.stream(messages=messages, restore_redacted=asked)
        frames = [json.loads(line[6:]) for line in raw.decode().split("\n") if line.startswith("data: {")]
        assert "".join(c["delta"].get("content") or "" for f in frames for c in f["choices"]) == told
        seen = platform.generator.seen[-1]
        assert seen["messages"][0]["content"] == "my code is [HIDDEN]" and "restore_redacted" not in seen


async def test_responses_restore_too(platform: Any) -> None:
    platform.generator.text = "Your code is [HIDDEN]."
    asked = {"model": "chat", "input": "my code is SECRET-1234", "restore_redacted": True}
    async with platform.client.post("/v1/responses", json=asked, headers=platform.auth) as response:
        document = await response.json()
    assert document["output"][0]["content"][0]["text"] == "Your code is SECRET-1234."
