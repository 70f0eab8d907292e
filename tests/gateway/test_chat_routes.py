"""Chat over HTTP: what callers get for good and for bad requests."""

import io
import json
from typing import Any


def texts(raw: bytes) -> str:
    frames = [json.loads(f[6:]) for f in raw.decode().split("\n\n") if f.startswith("data: {")]
    return "".join(c["delta"].get("content") or "" for f in frames for c in f["choices"])


async def test_a_plain_completion_is_the_generators_own_bytes(start: Any) -> None:
    async with start(safety_url=None) as platform:
        answer = await platform.chat()
        assert answer["choices"][0]["message"]["content"] == platform.generator.text
        assert answer["usage"] == platform.generator.usage()
        assert answer["system_fingerprint"] == "fp_x"
        assert answer["_headers"]["x-slipway-release"] == "sha256:" + "b" * 64
        assert "ttft=" in answer["_headers"]["x-slipway-timing"]
        assert answer["_headers"]["x-request-id"].startswith("req_")


async def test_a_plain_stream_is_relayed_byte_for_byte(start: Any) -> None:
    async with start(safety_url=None) as platform:
        platform.generator.text = "Grüße aus Köln \U0001f600 und mehr"
        for pieces in (None, 1, 7):
            platform.generator.pieces = pieces
            raw = await platform.stream(stream_options={"include_usage": True})
            comments = [f for f in raw.split(b"\n\n") if f.startswith(b":")]
            assert raw.replace(comments[0] + b"\n\n", b"") == platform.generator.raw
            assert len(comments) == 1 and b"total=" in comments[0]


async def test_stream_equals_completion(platform: Any) -> None:
    for body in ({"model": "chat"}, {"model": "reader"}, {"model": "chat", "retrieval": {}}):
        whole = await platform.chat(**body)
        raw = await platform.stream(**body)
        assert texts(raw) == whole["choices"][0]["message"]["content"]
        assert raw.endswith(b"data: [DONE]\n\n")


async def test_usage_comes_only_when_asked_for(platform: Any) -> None:
    without = await platform.stream()
    assert b'"prompt_tokens"' not in without
    raw = await platform.stream(stream_options={"include_usage": True})
    documents = [json.loads(f[6:]) for f in raw.decode().split("\n\n") if f.startswith("data: {")]
    assert documents[-1]["choices"] == [] and documents[-1]["usage"] == platform.generator.usage()
    assert all(d["usage"] is None for d in documents[:-1])


async def test_bad_requests_get_openais_error_object(platform: Any) -> None:
    url = "/v1/chat/completions"
    cases: list[tuple[bytes, dict[str, str], int, str | None]] = [
        (b"{", platform.auth, 400, "invalid_json"),
        (b'{"model":"chat","messages":[]}', platform.auth, 400, None),
        (b'{"model":"nope","messages":[{"role":"user","content":"x"}]}', platform.auth, 404, "model_not_found"),
        (b'{"model":"chat","messages":[{"role":"user","content":"x"}],"zzz":1}', platform.auth, 400, "unknown_parameter"),
        (b'{"model":"chat","messages":[{"role":"user","content":"x"}]}', {}, 401, "missing_api_key"),
        (b'{"model":"chat","messages":[{"role":"user","content":"x"}]}', {"authorization": "Bearer wrong"}, 401, "invalid_api_key"),
        (b'{"model":"chat","messages":' + b"[" * 100_000, platform.auth, 400, "invalid_json"),
    ]
    for body, headers, status, code in cases:
        async with platform.client.post(url, data=body, headers=headers) as response:
            document = await response.json()
            assert response.status == status, document
            assert set(document["error"]) == {"message", "type", "param", "code"}
            assert code is None or document["error"]["code"] == code
    assert (await platform.chat())["choices"]


async def test_a_body_of_twenty_megabytes_is_refused(platform: Any) -> None:
    async with platform.client.post("/v1/chat/completions", data=io.BytesIO(b"x" * (20 << 20)), headers=platform.auth) as response:
        assert response.status == 413
        assert (await response.json())["error"]["code"] == "request_too_large"


async def test_the_tenant_comes_from_the_key_and_not_from_a_header(platform: Any) -> None:
    headers = {**platform.auth, "x-slipway-tenant": "someone-else", "x-slipway-deadline-ms": "1"}
    asked = {"model": "chat", "messages": [{"role": "user", "content": "x"}]}
    async with platform.client.post("/v1/chat/completions", json=asked, headers=headers) as response:
        assert response.status == 200
    sent = platform.generator.headers[-1]
    assert sent["x-slipway-tenant"] == "local"
    assert int(sent["x-slipway-deadline-ms"]) > 1000
    assert "authorization" not in sent


async def test_models_are_listed_with_their_digests(platform: Any) -> None:
    async with platform.client.get("/v1/models", headers=platform.auth) as response:
        cards = (await response.json())["data"]
    assert {card["id"]: card["digest"][:8] for card in cards} == {"reader": "sha256:a", "chat": "sha256:b"}
    async with platform.client.get("/v1/models/nope", headers=platform.auth) as response:
        assert response.status == 404
        assert "reader" in (await response.json())["error"]["message"]
