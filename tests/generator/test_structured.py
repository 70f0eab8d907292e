"""Constrained answers through the real process: schemas, JSON, tools; streamed as not streamed; bombs refused; nothing fails open."""

import json
import time
from typing import Any

import jsonschema
import pytest

SCHEMAS: list[dict[str, Any]] = [
    {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer", "minimum": 0, "maximum": 150}},
        "required": ["name", "age"],
        "additionalProperties": False,
    },
    {"type": "array", "items": {"enum": ["red", "green", "blüe"]}, "minItems": 1, "maxItems": 3},
    {"anyOf": [{"type": "boolean"}, {"type": "null"}, {"type": "string", "pattern": "^[a-f]{2,6}$"}]},
    {
        "type": "object",
        "properties": {
            "points": {
                "type": "array",
                "maxItems": 2,
                "items": {
                    "type": "object",
                    "properties": {"x": {"type": "integer", "minimum": -5, "maximum": 5}, "kind": {"const": "point"}},
                    "required": ["x", "kind"],
                    "additionalProperties": False,
                },
            }
        },
        "required": ["points"],
        "additionalProperties": False,
    },
]
TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "find",
            "description": "Search.",
            "parameters": {
                "type": "object",
                "properties": {"query": {"type": "string", "maxLength": 6}, "limit": {"type": "integer", "minimum": 1, "maximum": 9}},
                "required": ["query", "limit"],
                "additionalProperties": False,
            },
        },
    },
    {"type": "function", "function": {"name": "now"}},
]


@pytest.fixture(params=["tiny", "onnx"])
def generator(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def body(generator: Any, **fields: Any) -> dict[str, Any]:
    return {
        "model": generator.model,
        "messages": [{"role": "user", "content": "the quick fox"}],
        "max_tokens": 200,
        "temperature": 0,
        **fields,
    }


def ask(generator: Any, **fields: Any) -> dict[str, Any]:
    with generator.client() as client:
        response = client.post("/v1/chat/completions", json=body(generator, **fields))
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]


def stream(generator: Any, **fields: Any) -> list[dict[str, Any]]:
    with (
        generator.client() as client,
        client.stream("POST", "/v1/chat/completions", json=body(generator, stream=True, **fields)) as response,
    ):
        lines = [line.removeprefix("data: ") for line in response.iter_lines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]", lines[-1]
    return [json.loads(line)["choices"][0] for line in lines[:-1]]


def demand(schema: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, **fields}}}


def without_ids(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [call["function"] for call in calls]


@pytest.mark.parametrize("schema", SCHEMAS, ids=["object", "enum array", "anyOf", "nested"])
def test_every_answer_satisfies_its_schema(generator: Any, schema: dict[str, Any]) -> None:
    for seed in range(6):
        fields: dict[str, Any] = {**demand(schema), "temperature": 1.5, "seed": seed}
        answer = ask(generator, **fields)
        assert answer["finish_reason"] == "stop"
        jsonschema.validate(json.loads(answer["message"]["content"]), schema)
    greedy = ask(generator, **demand(schema))["message"]["content"]
    assert "".join(choice["delta"].get("content") or "" for choice in stream(generator, **demand(schema))) == greedy
    with_logprobs = ask(generator, **demand(schema), logprobs=True)
    jsonschema.validate(json.loads(with_logprobs["message"]["content"]), schema)


def test_json_object_is_an_object_or_says_that_it_was_cut(generator: Any) -> None:
    for seed in range(4):
        answer = ask(generator, response_format={"type": "json_object"}, temperature=1.0, seed=seed)
        if answer["finish_reason"] == "stop":
            assert isinstance(json.loads(answer["message"]["content"]), dict)
        else:
            assert answer["finish_reason"] == "length"
            assert answer["message"]["content"].startswith("{")


def test_constrained_and_free_sequences_share_a_batch(generator: Any) -> None:
    free = ask(generator, max_tokens=20)["message"]["content"]
    many = ask(generator, **demand(SCHEMAS[0]), n=1)
    with generator.client() as client:
        response = client.post("/v1/chat/completions", json=body(generator, **demand(SCHEMAS[0]), n=4, temperature=1.2, seed=1))
    for choice in response.json()["choices"]:
        jsonschema.validate(json.loads(choice["message"]["content"]), SCHEMAS[0])
    assert ask(generator, max_tokens=20)["message"]["content"] == free
    assert ask(generator, **demand(SCHEMAS[0])) == many


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "find"}}])
def test_a_demanded_tool_is_called_with_valid_arguments(generator: Any, choice: Any) -> None:
    for seed in range(4):
        fields = {"tools": TOOLS, "tool_choice": choice, "parallel_tool_calls": False, "temperature": 1.2, "seed": seed}
        answer = ask(generator, **fields)
        assert answer["finish_reason"] == "tool_calls"
        assert answer["message"]["content"] is None
        (call,) = answer["message"]["tool_calls"]
        assert isinstance(call["function"]["arguments"], str)
        assert isinstance(choice, str) or call["function"]["name"] == "find"
        schema = TOOLS[0]["function"].get("parameters") if call["function"]["name"] == "find" else {"type": "object", "maxProperties": 0}
        jsonschema.validate(json.loads(call["function"]["arguments"]), schema)
    fields = {"tools": TOOLS, "tool_choice": choice, "parallel_tool_calls": False}
    (call,) = ask(generator, **fields)["message"]["tool_calls"]
    frames = [call for choice in stream(generator, **fields) for call in choice["delta"].get("tool_calls", ())]
    assert [frame["function"].get("name") for frame in frames if "name" in frame["function"]] == [call["function"]["name"]]
    assert "".join(frame["function"].get("arguments", "") for frame in frames) == call["function"]["arguments"]
    assert frames[0]["id"].startswith("call_")


def test_parallel_calls_are_told_apart(generator: Any) -> None:
    for bias in range(6):
        fields: dict[str, Any] = {
            "tools": TOOLS,
            "tool_choice": "required",
            "max_tokens": 120,
            "messages": [{"role": "user", "content": f"the fox {bias}"}],
        }
        answer = ask(generator, **fields)
        joined: dict[int, str] = {}
        for choice in stream(generator, **fields):
            for call in choice["delta"].get("tool_calls", ()):
                joined[call["index"]] = joined.get(call["index"], "") + call["function"].get("arguments", "")
        assert list(joined.values()) == [call["function"]["arguments"] for call in answer["message"]["tool_calls"]]
        if answer["finish_reason"] == "tool_calls":
            assert all(isinstance(json.loads(arguments), dict) for arguments in joined.values())


def test_auto_leaves_plain_answers_plain(generator: Any) -> None:
    answer = ask(generator, tools=TOOLS, max_tokens=24)
    assert "<tool_call>" not in (answer["message"]["content"] or "")
    assert answer["finish_reason"] in ("stop", "length", "tool_calls")
    text = "".join(choice["delta"].get("content") or "" for choice in stream(generator, tools=TOOLS, max_tokens=24))
    assert text == (answer["message"]["content"] or "")
    assert ask(generator, tools=TOOLS, tool_choice="none", max_tokens=8) == ask(generator, max_tokens=8)


def test_a_conversation_with_calls_and_results_can_go_on(generator: Any) -> None:
    messages = [
        {"role": "user", "content": "find the fox"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "a", "type": "function", "function": {"name": "find", "arguments": "{not json"}}],
        },
        {"role": "tool", "tool_call_id": "a", "content": "no fox"},
    ]
    assert ask(generator, messages=messages, tools=TOOLS, max_tokens=8)["message"]["content"] is not None
    assert ask(generator, messages=messages, max_tokens=8)["message"]["content"]


def nested(depth: int) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": nested(depth - 1)}} if depth else {"type": "integer"}


BOMBS: dict[str, dict[str, Any]] = {
    "deep": nested(100),
    "wide": {"type": "object", "properties": {f"k{at}": {"type": "string"} for at in range(6000)}},
    "long": {"type": "string", "const": "x" * 70_000},
    "remote reference": {"$ref": "http://127.0.0.1:9/schema"},
    "look-around": {"type": "string", "pattern": "(?=a)(?!b).*"},
    "bad pattern": {"type": "string", "pattern": "((("},
    "bad type": {"type": "bogus"},
    "unique items": {"type": "array", "uniqueItems": True},
    "not": {"not": {"type": "string"}},
    "override": {"type": "object", "x-guidance": {"whitespace_flexible": True}},
    "impossible": {"type": "integer", "minimum": 3, "maximum": 1},
}


@pytest.mark.parametrize("name", list(BOMBS))
def test_schemas_that_cannot_be_kept_to_are_400_and_others_are_served(generator: Any, name: str) -> None:
    for fields in (
        demand(BOMBS[name]),
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": BOMBS[name]}}], "tool_choice": "required"},
    ):
        with generator.client() as client:
            response = client.post("/v1/chat/completions", json=body(generator, **fields))
        assert response.status_code == 400, response.text
        assert response.json()["error"]["type"] == "invalid_request_error"
    assert ask(generator, max_tokens=2)["message"]["content"]


def test_patterns_that_explode_elsewhere_cost_little(generator: Any) -> None:
    for pattern in ("^(a+)+$", "^(a|a)*$", "^((.{0,200}a.{0,200}b){1,20}|(.{0,200}b.{0,200}a){1,20})$", "^(([a-z]{1,50}){1,50}){1,50}$"):
        with generator.client() as client:
            started = time.process_time()
            response = client.post(
                "/v1/chat/completions", json=body(generator, **demand({"type": "string", "pattern": pattern}), max_tokens=40)
            )
            assert response.status_code in (200, 400, 502)
            assert time.process_time() - started < 5
            assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    "fields",
    [
        {"tool_choice": "required"},
        {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "other"}}},
        {"tools": [TOOLS[0], TOOLS[0]]},
        {"response_format": {"type": "json_schema"}},
        {"response_format": {"type": "xml"}},
        {"tools": [{"type": "function", "function": {"name": "bad name"}}]},
        demand({"type": "object", "properties": {"a": {"type": "string"}}}, strict=True),
        demand({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}, strict=True),
    ],
)
def test_what_cannot_be_meant_is_refused(tiny: Any, fields: dict[str, Any]) -> None:
    with tiny.client() as client:
        assert client.post("/v1/chat/completions", json=body(tiny, **fields)).status_code == 400


def test_an_engine_without_constraints_refuses_them(echo: Any) -> None:
    with echo.client() as client:
        assert client.post("/v1/chat/completions", json=body(echo, **demand(SCHEMAS[0]))).status_code == 400
        assert client.post("/v1/chat/completions", json=body(echo, stream=True, **demand(SCHEMAS[0]))).status_code == 400
