"""A generator of our dialect that stands in for a capable chat model: `python planner.py --port N`.

What a client library does with tools, schemas and streams can only be tested with a model that chooses a tool and fills its arguments, which the shipped
reader of 15 million parameters cannot. This one does it by rule: numbers and quoted words of the question become arguments, a tool's result becomes the answer.
It validates what it is asked by the same types as the real generator, so a field that the gateway would lose or invent is an error here too.
"""

import argparse
import json
import re
import time
from typing import Any

from aiohttp import web
from slipway_shared.dialect import sse
from slipway_shared.dialect.chat import ChatRequest

CARD = {
    "id": "planner", "object": "model", "created": 0, "owned_by": "tests", "kind": "chat", "digest": "sha256:" + "c" * 64, "context_tokens": 8192,
}  # fmt: skip
WORDS = re.compile(r"\s*\S+|\s+$")


def said(request: ChatRequest, role: str) -> str:
    """The last thing that `role` said."""
    return next((message.text for message in reversed(request.messages) if message.role == role), "")


def fitting(schema: dict[str, Any], question: str, name: str = "", root: dict[str, Any] | None = None) -> Any:
    """A value for `schema`, out of the words and numbers of `question`."""
    root = root or schema
    if "$ref" in schema:
        return fitting(root["$defs"][schema["$ref"].rsplit("/", 1)[-1]], question, name, root)
    if "anyOf" in schema:
        return fitting(schema["anyOf"][0], question, name, root)
    if "enum" in schema:
        return next((value for value in schema["enum"] if str(value).lower() in question.lower()), schema["enum"][0])
    numbers = re.findall(r"-?\d+(?:\.\d+)?", question)
    match schema.get("type"):
        case "object":
            properties: dict[str, Any] = schema.get("properties") or {}
            return {one: fitting(inner, _rest(question, at), one, root) for at, (one, inner) in enumerate(properties.items())}
        case "array":
            return [fitting(schema.get("items") or {}, question, name, root)]
        case "integer":
            return int(float(numbers[0])) if numbers else 0
        case "number":
            return float(numbers[0]) if numbers else 0.0
        case "boolean":
            return True
        case _:
            quoted = re.findall(r"[\"'`“«]([^\"'`”»]+)[\"'`”»]", question)
            return quoted[-1] if quoted else re.sub(r"^.*\b(in|about|of)\s+", "", question).strip(" ?.!") or name


def _rest(question: str, at: int) -> str:
    """`question` without its first `at` numbers, so that every number is used once."""
    for _ in range(at):
        if len(re.findall(r"\d+", question)) > 1:
            question = re.sub(r"-?\d+(?:\.\d+)?", "", question, count=1)
    return question


def wanted(request: ChatRequest) -> str | None:
    """The name of the tool that this turn calls."""
    choice: Any = request.tool_choice
    if not request.tools or choice == "none":
        return None
    if choice not in (None, "auto", "required"):
        return str(choice.function.name)
    names = [tool.function.name for tool in request.tools]
    question = said(request, "user")
    named = next(
        (name for name in names if name in question or any(part in question.lower() for part in name.split("_") if len(part) > 3)), None
    )
    if choice == "required":
        return named or names[0]
    return None if request.messages[-1].role == "tool" else named


def answer(request: ChatRequest) -> tuple[str, dict[str, Any] | None]:
    """The text, or the call, of this turn."""
    question = said(request, "user")
    if (name := wanted(request)) is not None:
        tool = next(tool for tool in request.tools or () if tool.function.name == name)
        arguments = fitting(dict(tool.function.parameters or {"type": "object"}), question)
        return "", {
            "id": f"call_{len(request.messages)}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)},
        }
    form: Any = request.response_format
    if form is not None and form.type == "json_schema":
        return json.dumps(fitting(form.json_schema.schema_, question)), None
    if form is not None and form.type == "json_object":
        keys = re.findall(r"'(\w+)'|`(\w+)`", question)
        return json.dumps({next(filter(None, key)): fitting({"type": "string"}, question) for key in keys} or {"answer": question}), None
    if request.messages[-1].role == "tool":
        return f"The answer is {request.messages[-1].text}.", None
    return f"You said: {question}", None


def cut(text: str, request: ChatRequest) -> tuple[list[str], str]:
    """The text's pieces up to a stop string or the token limit, and how it ended."""
    stops = [request.stop] if isinstance(request.stop, str) else list(request.stop or ())
    places = [at for stop in stops if (at := text.find(stop)) >= 0]
    pieces = WORDS.findall(text[: min(places)] if places else text)
    limit = request.token_limit or 512
    return pieces[:limit], "length" if len(pieces) > limit else "stop"


async def chat(request: web.Request) -> web.StreamResponse:
    asked = ChatRequest.model_validate_json(await request.read())
    text, call = answer(asked)
    pieces, finish = cut(text, asked)
    if call is not None:
        pieces, finish = re.findall(r".{1,7}", call["function"]["arguments"], re.DOTALL), "tool_calls"
    prompt = sum(len(message.text.split()) + 1 for message in asked.messages)
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": len(pieces),
        "total_tokens": prompt + len(pieces),
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    head = {"id": "chatcmpl-plan", "created": int(time.time()), "model": asked.model}
    if not asked.stream:
        message = {
            "role": "assistant",
            "content": None if call else "".join(pieces),
            "refusal": None,
            **({"tool_calls": [call]} if call else {}),
        }
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
        return web.json_response({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": "" if call is None else None}]
    if call is None:
        deltas += [{"content": piece} for piece in pieces]
    else:
        deltas.append({"tool_calls": [{"index": 0, **call, "function": {**call["function"], "arguments": ""}}]})
        deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in pieces]
    include = asked.stream_options is not None and asked.stream_options.include_usage
    for number, delta in enumerate([*deltas, {}]):
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish if number == len(deltas) else None}
        frame = {**head, "object": "chat.completion.chunk", "choices": [choice], **({"usage": None} if include else {})}
        await response.write(sse.frame(frame))
    if include:
        await response.write(sse.frame({**head, "object": "chat.completion.chunk", "choices": [], "usage": usage}))
    await response.write(sse.DONE)
    return response


async def models(_: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": [CARD]})


async def ready(_: web.Request) -> web.Response:
    return web.Response(text="ready\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    app = web.Application()
    app.add_routes([web.get("/readyz", ready), web.get("/v1/models", models), web.post("/v1/chat/completions", chat)])
    web.run_app(app, host="127.0.0.1", port=parser.parse_args().port, print=None, access_log=None)
