"""A fake of vLLM's server for tests without vLLM: it speaks the part of its HTTP dialect that the engine uses, and answers with the prompt's tokens again.

Started as `fake_server.py -m vllm.entrypoints.openai.api_server --model FOLDER --served-model-name NAME --port P ...`, like the real one. The prompt's first
token commands: DIE ends the process after one frame, HANG sends nothing more, NOISE sends a frame that is no JSON, REFUSE is a 400.
"""

import argparse
import asyncio
import json
import os
from typing import Any

from aiohttp import web

DIE, HANG, NOISE, REFUSE = 201, 202, 203, 204
SEEN: list[dict[str, Any]] = []
LIVE = {"streams": 0}


async def completions(request: web.Request) -> web.StreamResponse:
    """The prompt again, a token a frame."""
    body = await request.json()
    SEEN.append(body)
    prompt, name = body["prompt"], request.app["name"]
    if body["model"] not in (name, *request.app["adapters"]):
        return web.json_response({"error": {"message": "no such model", "code": 404}}, status=404)
    if prompt[0] == REFUSE:
        return web.json_response({"error": {"message": "the fake refuses", "code": 400}}, status=400)
    tokens = [prompt[at % len(prompt)] for at in range(body["max_tokens"])]
    usage = {"prompt_tokens": len(prompt), "completion_tokens": len(tokens), "prompt_tokens_details": {"cached_tokens": 3}}
    if not body.get("stream"):
        scored = [None, *({str(token): {"logprob": -0.5}, "7": {"logprob": -0.25}} for token in prompt[1:])]
        choice = {
            "token_ids": tokens,
            "finish_reason": "length",
            "prompt_logprobs": scored if body.get("prompt_logprobs") else None,
            "logprobs": None,
        }
        return web.json_response({"choices": [choice], "usage": usage})
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    LIVE["streams"] += 1
    try:
        for at, token in enumerate(tokens):
            await _send(response, _frame(token, body, last=at + 1 == len(tokens)))
            await _obey(prompt[0], response)
            await asyncio.sleep(0.005)
        await _send(response, {"choices": [], "usage": usage})
        await response.write(b"data: [DONE]\n\n")
    finally:
        LIVE["streams"] -= 1
    return response


def _frame(token: int, body: dict[str, Any], *, last: bool) -> dict[str, Any]:
    wanted = body.get("logprobs")
    lists = None
    if wanted is not None:
        tops = {f"token_id:{token}": -0.7, **{f"token_id:{other}": -0.1 * other for other in range(1, wanted)}}
        lists = {"tokens": [f"token_id:{token}"], "token_logprobs": [-0.7], "top_logprobs": [tops]}
    return {"choices": [{"token_ids": [token], "text": "?", "logprobs": lists, "finish_reason": "length" if last else None}], "usage": None}


async def _send(response: web.StreamResponse, event: dict[str, Any]) -> None:
    await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")


async def _obey(order: int, response: web.StreamResponse) -> None:
    if order == DIE:
        await asyncio.sleep(0.05)
        os._exit(9)
    if order == HANG:
        await asyncio.sleep(60)
    if order == NOISE:
        await response.write(b"data: {not json\n\n")


async def models(request: web.Request) -> web.Response:
    return web.json_response({"data": [{"id": request.app["name"]}]})


async def metrics(_request: web.Request) -> web.Response:
    page = '# TYPE vllm:kv_cache_usage_perc gauge\nvllm:kv_cache_usage_perc{engine="0"} 0.25\n'
    for name, value in (("draft", 8.0 * len(SEEN)), ("accepted", 3.0 * len(SEEN))):
        full = f"vllm:spec_decode_num_{name}_tokens"
        page += f'# TYPE {full}_total counter\n{full}_total{{engine="0"}} {value}\n# TYPE {full}_created gauge\n{full}_created{{engine="0"}} 1.7e9\n'
    return web.Response(text=page)


async def seen(_request: web.Request) -> web.Response:
    """What was asked so far, for the test."""
    return web.json_response(
        {"bodies": SEEN, **LIVE, "environment": {k: v for k, v in os.environ.items() if k.startswith(("HF_", "VLLM_", "SLIPWAY_"))}}
    )


async def load_adapter(request: web.Request) -> web.Response:
    body = await request.json()
    request.app["adapters"][body["lora_name"]] = body["lora_path"]
    return web.Response(text="ok")


async def unload_adapter(request: web.Request) -> web.Response:
    body = await request.json()
    return web.Response(status=200 if request.app["adapters"].pop(body["lora_name"], None) else 404)


def build(name: str) -> web.Application:
    """The application under `name`."""
    app = web.Application()
    app["name"], app["adapters"] = name, {}
    app.add_routes(
        [
            web.post("/v1/completions", completions), web.get("/v1/models", models), web.get("/metrics", metrics), web.get("/seen", seen),
            web.post("/v1/load_lora_adapter", load_adapter), web.post("/v1/unload_lora_adapter", unload_adapter),
        ]
    )  # fmt: skip
    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("-m", dest="module")
    parser.add_argument("--model")
    parser.add_argument("--served-model-name")
    parser.add_argument("--port", type=int)
    asked, rest = parser.parse_known_args()
    if "--fail" in rest:
        raise SystemExit("Error: the fake was told to fail")
    web.run_app(build(asked.served_model_name), host="127.0.0.1", port=asked.port, print=None, access_log=None)
