"""Forms beside plain schemas: references, tools together with an answer's schema, vLLM's extras, and how compiled grammars are kept."""

import json
import re
from typing import Any, Literal

import jsonschema
import pydantic
import pytest
from slipway_generator.engine import Constraint
from slipway_generator.engines.grammar import KEPT_OF_A_TENANT, Grammars
from slipway_generator.references import moved
from slipway_generator.schema import bounded, conforms
from slipway_generator.tools import ToolReading
from slipway_shared import errors


class Closed(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")


class Meters(Closed):
    kind: Literal["m"]
    value: int = pydantic.Field(ge=0, le=9)


class Seconds(Closed):
    kind: Literal["s"]


class Tree(Closed):
    size: Meters | Seconds = pydantic.Field(discriminator="kind")
    below: "Tree | None"


def untitled(schema: Any) -> Any:
    """Titles left out, for a context of 1,024 tokens and a tokenizer that knows few words."""
    if isinstance(schema, dict):
        return {key: untitled(value) for key, value in schema.items() if key != "title"}
    return schema


SCHEMA = untitled(Tree.model_json_schema())
"""What an SDK sends for such a class: `$defs`, `$ref`, recursion, and a tagged union as `oneOf` with a discriminator."""
METERS = untitled(Meters.model_json_schema())
PLANT = {"type": "function", "function": {"name": "plant", "parameters": SCHEMA}}
TOOLS = [{"type": "function", "function": {"name": "measure", "parameters": METERS}}, {"type": "function", "function": {"name": "now"}}]


@pytest.fixture(params=["tiny", "onnx"])
def generator(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def post(generator: Any, **fields: Any) -> Any:
    body = {"model": generator.model, "messages": [{"role": "user", "content": "the fox"}], "max_tokens": 200, "temperature": 0, **fields}
    with generator.client() as client:
        return client.post("/v1/chat/completions", json=body)


def ask(generator: Any, **fields: Any) -> dict[str, Any]:
    response = post(generator, **fields)
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]


def form(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}


def test_tools_may_refer_to_their_own_definitions(generator: Any) -> None:
    assert "$ref" in json.dumps(SCHEMA)
    seen = 0
    for seed in range(6):
        named = {"type": "function", "function": {"name": "plant"}}
        answer = ask(generator, tools=[PLANT], tool_choice=named, parallel_tool_calls=False, max_tokens=120, temperature=1.2, seed=seed)
        (call,) = answer["message"]["tool_calls"]
        if answer["finish_reason"] == "tool_calls":  # else the recursion ran into the limit, and says so
            Tree.model_validate_json(call["function"]["arguments"])
            seen += 1
    assert seen > 0


def test_an_answer_in_a_form_or_a_tool_call(generator: Any) -> None:
    wanted = {"tools": TOOLS, "response_format": form(METERS)}
    for seed in range(6):
        message = ask(generator, **wanted, temperature=1.5, seed=seed)["message"]
        if message.get("tool_calls"):
            assert message["content"] is None
        else:
            Meters.model_validate_json(message["content"])
    called = ask(generator, **wanted, tool_choice="required", parallel_tool_calls=False)
    assert called["message"]["tool_calls"]
    said = ask(generator, **wanted, tool_choice="none")
    Meters.model_validate_json(said["message"]["content"])


@pytest.mark.parametrize(
    ("extra", "pattern"),
    [
        ({"choice": ["yes", "no (never)", "größer"]}, r"yes|no \(never\)|größer"),
        ({"regex": "[a-c]{2}-[0-9]{3}"}, "[a-c]{2}-[0-9]{3}"),
        ({"grammar": 'start: "<" /[0-9]{1,4}/ ">"'}, "<[0-9]{1,4}>"),
        ({"json": METERS}, r'\{"kind":"m","value":[0-9]\}'),
    ],
    ids=["choice", "regex", "grammar", "json"],
)
def test_vllms_extra_is_kept_to(generator: Any, extra: dict[str, Any], pattern: str) -> None:
    for seed in range(4):
        answer = ask(generator, structured_outputs=extra, temperature=1.5, seed=seed)
        assert answer["finish_reason"] == "stop"
        assert re.fullmatch(pattern, answer["message"]["content"])


@pytest.mark.parametrize(
    "fields",
    [
        {"guided_json": {"type": "object"}},
        {"guided_regex": "a+"},
        {"structured_outputs": {}},
        {"structured_outputs": {"regex": "a", "choice": ["a"]}},
        {"structured_outputs": {"regex": "((("}},
        {"structured_outputs": {"grammar": "start: nothing"}},
        {"structured_outputs": {"grammar": "start: start"}},
        {"structured_outputs": {"choice": []}},
        {"structured_outputs": {"regex": "a"}, "tools": TOOLS},
        {"structured_outputs": {"regex": "a"}, "response_format": {"type": "json_object"}},
        {"response_format": form({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}})},
        {"response_format": form({"$ref": "#/$defs/missing"})},
        {"response_format": form({"allOf": [{"type": "string", "pattern": f"(a|b)*a(a|b){{{at}}}"} for at in range(10, 40)]})},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"$ref": "file:///etc/passwd"}}}]},
    ],
    ids=lambda fields: json.dumps(fields)[:60],
)
def test_what_cannot_be_kept_to_is_a_400_and_never_ignored(tiny: Any, fields: dict[str, Any]) -> None:
    response = post(tiny, **fields)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert ask(tiny, max_tokens=2)["message"]["content"]


def test_moved_references_hold_and_data_stays() -> None:
    schema = {
        "properties": {"$ref": {"type": "integer"}, "const": {"$ref": "#/$defs/a"}, "self": {"$ref": "#"}},
        "const": {"$ref": "#/$defs/a"},
        "$defs": {"a": {"enum": [{"$ref": "#"}]}},
    }
    assert moved(schema, "#/$defs/t0") == {
        "properties": {"$ref": {"type": "integer"}, "const": {"$ref": "#/$defs/t0/$defs/a"}, "self": {"$ref": "#/$defs/t0"}},
        "const": {"$ref": "#/$defs/a"},
        "$defs": {"a": {"enum": [{"$ref": "#"}]}},
    }


def test_nothing_is_fetched_and_deep_answers_do_not_crash() -> None:
    remote = {"$ref": "http://127.0.0.1:9/schema"}
    with pytest.raises(errors.BadRequest):
        bounded(remote, "x")
    assert not conforms(remote, "1")
    assert not conforms({"type": "array", "items": {"$ref": "#"}}, "[" * 100_000)
    jsonschema.validate({"below": None, "size": {"kind": "s"}}, SCHEMA)


def test_a_call_that_breaks_its_schema_is_an_error_not_a_crash() -> None:
    for arguments in ('{"kind":"x"}', "[", '{"kind":"m","value":1}}'):
        reading = ToolReading({"measure": METERS})
        reading.feed('<tool_call>\n{"name":"measure","arguments":' + arguments + "}\n</tool_call>")
        with pytest.raises(errors.UpstreamFailed):
            reading.finish("stop")


def bytewise() -> Grammars:
    """Grammars over a vocabulary of single bytes and an end."""
    return Grammars([bytes([at]) for at in range(256)] + [b""], [256], [256], lambda text: list(text.encode()))


def test_a_tenants_grammars_push_out_only_its_own() -> None:
    pytest.importorskip("llguidance")
    grammars = bytewise()
    kept = Constraint("regex", "kept")
    grammars.compile(kept, "a")
    for at in range(200):
        grammars.compile(Constraint("regex", f"b{at}"), "b")
    assert grammars.kept("a") == 1
    assert grammars.kept("b") == KEPT_OF_A_TENANT
    one, two = grammars.compile(kept, "a"), grammars.compile(kept, "a")
    one.accept(ord("k"))
    assert two.allowed()[ord("k")] and not one.allowed()[ord("k")]


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"$ref": "#"}, "no document satisfies it"),
        ({"type": "string", "pattern": "^(?=a)b"}, "look-around"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "write anyOf"),
        ({"type": "strin"}, "no valid JSON schema at type"),
        ({"$schema": "https://nowhere.example/draft", "type": "strin"}, "no valid JSON schema at type"),
    ],
)
def test_a_refusal_says_what_to_change(schema: dict[str, Any], said: str) -> None:
    grammars = Grammars([bytes([byte]) for byte in range(256)] + [b"</s>"], [], [256], lambda text: list(text.encode()))
    with pytest.raises(errors.BadRequest, match=said):
        grammars.compile(Constraint("json_schema", bounded(schema, "response_format")), "tenant")
