"""Completions, embeddings, rerank, moderations and tokenize: validated, relayed, moderated and accounted."""

import json
from typing import Any

import pytest
from aiohttp import web


def completions(platform: Any, text: str) -> None:
    """Makes the fake generator speak plain completions and detokenize."""
    chat = platform.generator.handle
    pieces = [text[i : i + 5] for i in range(0, len(text), 5)]
    usage = {"prompt_tokens": 3, "completion_tokens": len(pieces), "total_tokens": 3 + len(pieces)}

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/detokenize":
            ids = (await request.json())["tokens"]
            return web.json_response({"prompt": "FORBIDDEN" if 666 in ids else "fine"})
        if request.path != "/v1/completions":
            return await chat(request)
        asked = await request.json()
        platform.generator.seen.append(asked)
        if not asked.get("stream"):
            choice = {"index": 0, "text": text, "logprobs": {"tokens": ["x"]}, "finish_reason": "length"}
            return web.json_response({"id": "cmpl-1", "object": "text_completion", "choices": [choice], "usage": usage})
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        frames: list[dict[str, Any]] = [
            {"choices": [{"index": 0, "text": piece, "finish_reason": None}], "usage": None} for piece in pieces
        ]
        for frame in [*frames, {"choices": [], "usage": usage}]:
            await response.write(b"data: " + json.dumps(frame, separators=(",", ":")).encode() + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        return response

    platform.generator.intercept = answer


async def post(platform: Any, path: str, body: dict[str, Any]) -> tuple[int, bytes, dict[str, str]]:
    async with platform.client.post(path, json=body, headers=platform.auth) as response:
        return response.status, await response.read(), {k.lower(): v for k, v in response.headers.items()}


@pytest.mark.parametrize(("text", "shown"), [("plain words only", "plain words only"), ("it is SECRET-1234, yes", "it is [HIDDEN], yes")])
async def test_completions_are_relayed_and_guarded(platform: Any, text: str, shown: str) -> None:
    completions(platform, text)
    status, raw, headers = await post(platform, "/v1/completions", {"model": "chat", "prompt": "say", "echo": False, "logprobs": 1})
    whole = json.loads(raw)
    assert status == 200 and whole["choices"][0]["text"] == shown and headers["x-slipway-release"].startswith("sha256:b")
    assert (whole["choices"][0]["logprobs"] is None) == (text != shown)
    assert platform.generator.seen[-1]["logprobs"] == 1
    status, raw, _ = await post(platform, "/v1/completions", {"model": "chat", "prompt": "say", "stream": True})
    frames = [json.loads(f[6:]) for f in raw.decode().split("\n\n") if f.startswith("data: {")]
    assert "".join(c["text"] for f in frames for c in f["choices"]) == shown and raw.endswith(b"[DONE]\n\n")
    assert all(f["usage"] is None for f in frames)


async def test_prompts_of_completions_are_checked_also_as_ids(platform: Any) -> None:
    completions(platform, "x")
    for prompt in ("FORBIDDEN", ["fine", "FORBIDDEN"], [1, 666], [[1], [666]]):
        status, raw, _ = await post(platform, "/v1/completions", {"model": "chat", "prompt": prompt})
        assert status == 400 and json.loads(raw)["error"]["code"] == "content_policy_violation", prompt
    assert (await post(platform, "/v1/completions", {"model": "chat", "prompt": [[1], [2]]}))[0] == 200
    assert platform.generator.seen[-1]["prompt"] == [[1], [2]]
    await post(platform, "/v1/completions", {"model": "chat", "prompt": ["a SECRET-1234", "b"]})
    assert platform.generator.seen[-1]["prompt"] == ["a [HIDDEN]", "b"]


async def test_blocked_completions_end_typed(platform: Any) -> None:
    completions(platform, "all is fine until FORBIDDEN appears")
    _, raw, _ = await post(platform, "/v1/completions", {"model": "chat", "prompt": "say", "stream": True})
    assert b"FORBIDDEN" not in raw and b'"content_filter"' in raw
    _, raw, _ = await post(platform, "/v1/completions", {"model": "chat", "prompt": "say"})
    assert json.loads(raw)["choices"][0]["finish_reason"] == "content_filter"


@pytest.mark.parametrize(
    "bad",
    [{"model": "chat"}, {"model": "chat", "prompt": [-1]}, {"model": "chat", "prompt": []}, {"model": "chat", "prompt": "x", "n": 99}],
)
async def test_bad_completions_are_refused(platform: Any, bad: dict[str, Any]) -> None:
    assert (await post(platform, "/v1/completions", bad))[0] == 400
    assert (await post(platform, "/v1/completions", {"model": "none", "prompt": "x"}))[0] == 404


async def test_rerank_is_answered_by_the_reranker(platform: Any) -> None:
    status, raw, _ = await post(platform, "/v1/rerank", {"query": "q", "documents": ["a", "b"], "top_n": 1})
    assert status == 200 and len(json.loads(raw)["results"]) == 1
    assert (await post(platform, "/v1/rerank", {"query": "q", "documents": []}))[0] == 400


@pytest.mark.parametrize(
    ("path", "part", "body", "bad"),
    [
        ("/v1/moderations", "safety", {"input": ["x"]}, {"input": []}),
        ("/v1/moderations", "safety", {"input": [{"type": "text", "text": "x"}]}, {"input": [{"type": "image_url", "image_url": {"url": "data:,"}}]}),
        ("/tokenize", "generator", {"prompt": "x"}, {"prompt": 5}),
        ("/v1/tokenize", "generator", {"prompt": "x"}, {"prompt": 5}),
        ("/detokenize", "generator", {"tokens": [1]}, {"tokens": [-1]}),
        ("/v1/embeddings", "retriever", {"model": "minilm", "input": "x"}, {"model": "minilm", "input": []}),
    ],
)  # fmt: skip
async def test_what_one_part_answers_is_validated_and_relayed(
    platform: Any, path: str, part: str, body: dict[str, Any], bad: dict[str, Any]
) -> None:
    asked: list[Any] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append((request.path, await request.json()))
        return web.json_response({"fine": True, "usage": {"prompt_tokens": 2, "total_tokens": 2}})

    getattr(platform, part).intercept = answer
    status, raw, _ = await post(platform, path, body)
    assert status == 200 and json.loads(raw)["fine"]
    assert asked == [(path.replace("/v1/t", "/t"), body)]
    assert (await post(platform, path, bad))[0] == 400 and len(asked) == 1
    getattr(platform, part).intercept = None
    getattr(platform, part).down = True
    assert (await post(platform, path, body))[0] == 502
