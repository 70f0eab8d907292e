"""The output guard: nothing is shown unseen, whatever the windows, and what is allowed arrives whole."""

import asyncio
import dataclasses
import itertools
import json
import re
from collections.abc import AsyncGenerator
from typing import Any

import orjson
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from slipway_gateway.frames import Frame, Writer
from slipway_gateway.guard import Guard
from slipway_gateway.leaves import Check
from slipway_gateway.safety import MAX_CHECKED
from slipway_shared.contracts import CheckRequest, CheckResponse, Finding
from slipway_shared.dialect import sse

SECRET = re.compile(r"SECRET-\d{4}")


async def check(text: str, final: bool) -> CheckResponse:
    if "FORBIDDEN" in text:
        return CheckResponse(verdict="block", findings=[])
    spans = [
        Finding(category="pii", rule="secret", start=m.start(), end=m.end(), action="redact", placeholder="[HIDDEN]")
        for m in SECRET.finditer(text)
    ]
    if spans:
        return CheckResponse(verdict="redact", findings=spans, text=SECRET.sub("[HIDDEN]", text))
    return CheckResponse(verdict="allow", findings=[])


async def said(pieces: list[str]) -> AsyncGenerator[Frame]:
    writer = Writer("m")
    yield writer.delta({"role": "assistant", "content": ""})
    for piece in pieces:
        yield writer.delta({"content": piece})
    yield writer.delta({}, "stop")
    yield writer.usage({"prompt_tokens": 1})
    yield Frame(sse.DONE)


async def shown(pieces: list[str], *, window: int = 4, overlap: int = 16) -> list[Frame]:
    guard = Guard(check, Writer("m"), window=window, overlap=overlap, observe=lambda _: None)
    return [frame async for frame in guard.run(said(pieces))]


def words(text: str, cuts: list[int]) -> list[str]:
    """`text` cut at `cuts`."""
    edges = sorted({0, len(text), *(c % (len(text) + 1) for c in cuts)})
    return [text[a:b] for a, b in itertools.pairwise(edges)]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from(["plain ", "SECRET-1234 ", "SECRET-99", "é\U0001f600 ", "FORBID "]), min_size=1, max_size=30),
    st.lists(st.integers(0, 400), max_size=40),
    st.integers(1, 6),
)
async def test_what_is_shown_is_the_redacted_text_wherever_frames_are_cut(parts: list[str], cuts: list[int], window: int) -> None:
    text = "".join(parts)
    frames = await shown(words(text, cuts), window=window)
    assert "".join(frame.text() for frame in frames) == SECRET.sub("[HIDDEN]", text)
    assert frames[-1].done and frames[-2].usage and frames[-3].finished
    assert frames[0].choices[0]["delta"].get("role") == "assistant"


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 200), max_size=30), st.integers(0, 12), st.integers(1, 6))
async def test_a_forbidden_word_split_over_frames_is_never_shown(cuts: list[int], before: int, window: int) -> None:
    text = "fine words " * before + "FORBIDDEN" + " and more" * 5
    frames = await shown(words(text, cuts), window=window)
    visible = "".join(frame.text() for frame in frames)
    assert "fine words ".startswith(visible[-11:]) or visible == "" or visible == ("fine words " * before)[: len(visible)]
    assert "FORBIDDEN" not in visible
    assert [c["finish_reason"] for f in frames for c in f.choices][-1] == "content_filter"
    assert any("refusal" in c["delta"] for f in frames for c in f.choices)


async def test_frames_that_nobody_changes_keep_their_bytes() -> None:
    original = [frame async for frame in said(["word "] * 50)]

    async def source() -> AsyncGenerator[Frame]:
        for frame in original:
            yield frame

    guard = Guard(check, Writer("m"), window=4, overlap=16, observe=lambda _: None)
    assert [frame.raw async for frame in guard.run(source())] == [frame.raw for frame in original]


async def test_the_filter_says_how_much_to_hold_and_the_first_word_waits_for_nothing_else() -> None:
    async def sure(text: str, final: bool) -> CheckResponse:
        return CheckResponse(verdict="allow", findings=[], hold_from=len(text))

    gate = asyncio.Event()

    async def source() -> AsyncGenerator[Frame]:
        writer = Writer("m")
        yield writer.delta({"role": "assistant", "content": ""})
        yield writer.delta({"content": "first"})
        await gate.wait()
        yield writer.delta({"content": " second"})

    guard = Guard(sure, Writer("m"), window=16, overlap=96, observe=lambda _: None)
    run = guard.run(source())
    assert (await anext(run)).text() == ""
    assert (await anext(run)).text() == "first"
    gate.set()
    assert [frame.text() async for frame in run] == [" second"]


async def test_an_end_that_comes_together_with_a_verdict_does_not_overtake_what_was_judged() -> None:
    """Frames without text need no check, but they wait for those before them, also for those that a finished check has just let go."""
    gate = asyncio.Event()

    async def slow(text: str, final: bool) -> CheckResponse:
        await gate.wait()
        return CheckResponse(verdict="allow", findings=[], hold_from=len(text))

    async def source() -> AsyncGenerator[Frame]:
        writer = Writer("m")
        yield writer.delta({"content": "all"})
        yield writer.delta({"content": " of it"})
        await gate.wait()
        yield writer.delta({}, "stop")
        yield writer.usage({"prompt_tokens": 1})
        yield Frame(sse.DONE)

    for _ in range(20):
        gate.clear()
        asyncio.get_running_loop().call_later(0.005, gate.set)
        guard = Guard(slow, Writer("m"), window=16, overlap=96, observe=lambda _: None)
        frames = [frame async for frame in guard.run(source())]
        assert [frame.text() for frame in frames[:2]] == ["all", " of it"], [frame.raw for frame in frames]
        assert frames[2].finished and frames[3].usage and frames[4].done


async def test_a_span_whose_beginning_is_out_is_refused() -> None:
    async def late(text: str, final: bool) -> CheckResponse:
        if "three" not in text:
            return CheckResponse(verdict="allow", findings=[], hold_from=len(text))
        finding = Finding(category="pii", rule="x", start=0, end=len(text), action="redact", placeholder="[HIDDEN]")
        return CheckResponse(verdict="redact", findings=[finding], text="[HIDDEN]")

    guard = Guard(late, Writer("m"), window=1, overlap=0, observe=lambda _: None)
    frames = [frame async for frame in guard.run(said(["one ", "two ", "three"]))]
    assert [c["finish_reason"] for f in frames for c in f.choices][-1] == "content_filter"


async def test_the_wait_is_bounded() -> None:
    asked: list[int] = []

    async def counting(text: str, final: bool) -> CheckResponse:
        asked.append(len(text))
        return CheckResponse(verdict="allow", findings=[])

    guard = Guard(counting, Writer("m"), window=4, overlap=8, observe=lambda _: None)
    sent = 0
    most = 0

    async def source() -> AsyncGenerator[Frame]:
        nonlocal sent
        async for frame in said(["12345678"] * 100):
            sent += 1
            yield frame

    received = 0
    async for _ in guard.run(source()):
        received += 1
        most = max(most, sent - received)
    assert most <= 2 * 4 + 8 + 3
    assert max(asked) <= 256 + 8 * (2 * 4 + 8)


@pytest.mark.parametrize("model", ["chat", "reader"])
async def test_streams_and_completions_are_guarded_alike(platform: Any, model: str) -> None:
    platform.generator.text = "The code is SECRET-1234 for now."
    raw = await platform.stream()
    whole = await platform.chat()
    assert b"SECRET-" not in raw and b"[HIDDEN]" in raw
    assert whole["choices"][0]["message"]["content"] == "The code is [HIDDEN] for now."
    platform.generator.text = "All is well until FORBIDDEN comes."
    raw = await platform.stream(stream_options={"include_usage": True})
    assert b"FORBIDDEN" not in raw and b'"content_filter"' in raw
    whole = await platform.chat()
    assert whole["choices"][0]["finish_reason"] == "content_filter" and whole["choices"][0]["message"]["refusal"]


def calls(pieces: list[str], index: int = 0, call: int = 0) -> list[Frame]:
    """A tool call whose arguments come in `pieces`."""
    writer = Writer("m")
    head = {"index": call, "id": f"call_{call}", "type": "function", "function": {"name": "send", "arguments": ""}}
    rest = [{"index": call, "function": {"arguments": piece}} for piece in pieces]
    return [writer.delta({"tool_calls": [one]}, index=index) for one in (head, *rest)]


async def through(frames: list[Frame], *, window: int = 4, overlap: int = 16) -> list[Frame]:
    async def source() -> AsyncGenerator[Frame]:
        for frame in frames:
            yield frame

    guard = Guard(check, Writer("m"), window=window, overlap=overlap, observe=lambda _: None)
    return [frame async for frame in guard.run(source())]


def arguments(frames: list[Frame], call: int = 0, index: int = 0) -> str:
    deltas = [c["delta"] for frame in frames for c in frame.choices if c["index"] == index]
    return "".join(
        one["function"].get("arguments", "") for delta in deltas for one in delta.get("tool_calls") or [] if one["index"] == call
    )


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(["plain ", "SECRET-1234", "SECRET-99", "\u00e9\U0001f600 ", "\nSECRET-5678", 'a "quote" \\ ', "SEC"]),
        min_size=1,
        max_size=20,
    ),
    st.lists(st.integers(0, 400), max_size=40),
    st.integers(1, 6),
    st.booleans(),
)
async def test_arguments_are_scanned_as_text_is_and_stay_json(parts: list[str], cuts: list[int], window: int, ascii_only: bool) -> None:
    text = "".join(parts)
    raw = json.dumps({"to": text, "n": 7}, ensure_ascii=ascii_only)
    frames = await through([*calls(words(raw, cuts)), Writer("m").delta({}, "tool_calls")], window=window, overlap=24)
    assert json.loads(arguments(frames)) == {"to": SECRET.sub("[HIDDEN]", text), "n": 7}
    assert frames[0].choices[0]["delta"]["tool_calls"][0]["function"]["name"] == "send" and frames[-1].finished


async def test_a_secret_that_is_spelled_by_escapes_or_stands_outside_of_a_string_is_hidden_too() -> None:
    frames = await through(calls([r'{"to": "\u0053ECRET-', r'12\u00334"}']))
    assert json.loads(arguments(frames)) == {"to": "[HIDDEN]"}

    async def number(text: str, final: bool) -> CheckResponse:
        spans = [
            Finding(category="pii", rule="x", start=m.start(), end=m.end(), action="redact", placeholder="[CARD]")
            for m in re.finditer("4111", text)
        ]
        return CheckResponse(verdict="redact" if spans else "allow", findings=spans, hold_from=None)

    async def source() -> AsyncGenerator[Frame]:
        for frame in calls(['{"card": 41', '11, "x": "4111"}']):
            yield frame

    guard = Guard(number, Writer("m"), window=4, overlap=16, observe=lambda _: None)
    assert json.loads(arguments([frame async for frame in guard.run(source())])) == {"card": "[CARD]", "x": "[CARD]"}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 60), max_size=20), st.integers(1, 6))
async def test_a_forbidden_word_in_arguments_is_never_shown(cuts: list[int], window: int) -> None:
    frames = await through(calls(words('{"query": "some FORBIDDEN thing"}', cuts)), window=window, overlap=24)
    assert "FORBIDDEN" not in arguments(frames)
    assert [c["finish_reason"] for f in frames for c in f.choices][-1] == "content_filter"


@settings(max_examples=100, deadline=None)
@given(st.permutations(range(24)), st.integers(1, 6), st.integers(1, 24))
async def test_choices_and_calls_that_come_mixed_are_each_whole(order: list[int], window: int, size: int) -> None:
    """Four texts, in pieces of `size` characters, dealt in any order: one may hold up another, and nothing hidden slips through."""
    texts = ["fine SECRET-1111 words", "SECRET-2222", '{"a": "SECRET-3333"}', '{"b": "none"}']
    queues = [iter(words(text, list(range(0, len(text), size)))) for text in texts]
    writer = Writer("m")
    frames: list[Frame] = []
    for turn in [*order, *range(200)]:
        which = turn % 4
        if (piece := next(queues[which], None)) is not None:
            delta = {"content": piece} if which < 2 else {"tool_calls": [{"index": which - 2, "function": {"arguments": piece}}]}
            frames.append(writer.delta(delta, index=which if which < 2 else 0))
    out = await through(frames, window=window, overlap=20)
    assert ["".join(f.text(i) for f in out) for i in (0, 1)] == ["fine [HIDDEN] words", "[HIDDEN]"]
    assert [arguments(out, call) for call in (0, 1)] == ['{"a": "[HIDDEN]"}', '{"b": "none"}']


@pytest.mark.parametrize("streamed", [False, True])
async def test_citations_point_into_the_redacted_text_and_quote_nothing_hidden(platform: Any, streamed: bool) -> None:
    platform.generator.text = "Paris is SECRET-1234 the capital of France. [1]"
    platform.retriever.passages[0]["text"] = "Paris is SECRET-1234 the capital of France. It lies on the Seine."
    message: dict[str, Any] = {"content": "", "annotations": []}
    asked = {"retrieval": {"top_k": 2}}
    if streamed:
        for block in (await platform.stream(**asked)).decode().split("\n\n"):
            for choice in json.loads(block[6:])["choices"] if block.startswith("data: {") else ():
                message["content"] += choice["delta"].get("content") or ""
                message["annotations"] += choice["delta"].get("annotations") or []
    else:
        message = (await platform.chat(**asked))["choices"][0]["message"]
    note = next(note for note in message["annotations"] if note["type"] == "file_citation")
    assert message["content"] == "Paris is [HIDDEN] the capital of France. [1]"
    assert message["content"][note["index"] :] == "[1]"
    assert note["quote"] == "Paris is [HIDDEN] the capital of France. It lies on the Seine."


@pytest.mark.parametrize(("secret", "reason"), [("SECRET-1234", "tool_calls"), ("FORBIDDEN", "content_filter")])
async def test_the_arguments_of_a_whole_answer_are_scanned_too(platform: Any, secret: str, reason: str) -> None:
    async def calling(request: web.Request) -> web.StreamResponse:
        if request.path == "/v1/models":
            return await platform.generator.answer(request)
        function = {"name": "send", "arguments": json.dumps({"to": secret})}
        message = {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": function}]}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls"}
        return web.json_response({"id": "x", "object": "chat.completion", "created": 1, "model": "chat", "choices": [choice], "usage": {}})

    platform.generator.intercept = calling
    choice = (await platform.chat())["choices"][0]
    assert choice["finish_reason"] == reason and secret not in json.dumps(choice)
    if reason == "tool_calls":
        assert json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"]) == {"to": "[HIDDEN]"}
    else:
        assert choice["message"]["refusal"] and "tool_calls" not in choice["message"]


async def test_a_slow_models_words_are_not_held_for_a_whole_window() -> None:
    """The model says its next word only when the one before was shown: with a window of 16 frames alone this would stand still for ever."""
    seen: asyncio.Queue[str] = asyncio.Queue()

    async def slow() -> AsyncGenerator[Frame]:
        writer = Writer("m")
        for number in range(6):
            yield writer.delta({"content": f"word{number} "})
            assert await asyncio.wait_for(seen.get(), 20) == f"word{number} "
        yield writer.delta({}, "stop")
        yield Frame(sse.DONE)

    guard = Guard(check, Writer("m"), window=16, overlap=0, observe=lambda _: None, seconds=0.02)
    async for frame in guard.run(slow()):
        if frame.text():
            seen.put_nowait(frame.text())
    assert seen.empty()


async def test_a_frame_without_text_does_not_wait_for_one_with_it() -> None:
    text = asyncio.Event()

    async def source() -> AsyncGenerator[Frame]:
        writer = Writer("m")
        yield writer.delta({"role": "assistant", "content": ""})
        await text.wait()
        yield writer.delta({"content": "word"})

    frames = Guard(check, Writer("m"), window=4, overlap=16, observe=lambda _: None).run(source())
    assert (await asyncio.wait_for(anext(frames), 5)).choices[0]["delta"]["role"] == "assistant"
    text.set()
    assert [frame.text() async for frame in frames] == ["word"]


async def test_an_answer_that_is_longer_than_the_filter_reads_is_not_shown(platform: Any) -> None:
    platform.generator.text = "word " * (MAX_CHECKED // 5 + 1)
    error = (await platform.chat(expect=502))["error"]
    assert "longer than the safety filter reads" in error["message"] and all(len(asked["text"]) < 100 for asked in platform.safety.seen)


def test_a_check_is_what_the_contract_says() -> None:
    """Field by field, with its defaults, as the filter reads it."""
    assert {field.name: field.default for field in dataclasses.fields(Check) if field.name != "text"} == {
        name: field.default for name, field in CheckRequest.model_fields.items() if name != "text"
    }
    check = Check("some text", "output", ("a passage",), ("a prompt",), False, ((0, 4), (5, 9)))
    assert CheckRequest.model_validate_json(orjson.dumps(check)) == CheckRequest.model_validate(dataclasses.asdict(check))
