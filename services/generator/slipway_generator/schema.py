"""JSON schemas from outside: bounded before anything reads them, held to OpenAI's strict rules, and checked once more against what was generated.

It refuses to know tokens and grammars.
"""

import json
from typing import Any

import jsonschema
from jsonschema import Draft202012Validator
from slipway_shared import errors

MAX_BYTES = 1 << 16
MAX_DEPTH = 32
MAX_NODES = 5000
_BY_GRAMMAR_ALONE = frozenset({"pattern", "patternProperties", "format", "x-guidance"})
"""Left out of the second check: Python's regular expressions can be made to run for ever, the grammar's run in linear time and were obeyed already."""


def bounded(schema: dict[str, Any], param: str) -> str:
    """The schema as text; BadRequest when it is too large, too deep, or no JSON schema."""
    nodes = _measure(schema, param)
    text = json.dumps(schema, ensure_ascii=False)
    if nodes > MAX_NODES or len(text) > MAX_BYTES:
        raise errors.BadRequest(
            f"The schema is larger than {MAX_NODES} values or {MAX_BYTES} characters.", param=param, code="schema_too_large"
        )
    if "x-guidance" in text:
        raise errors.BadRequest("The schema names x-guidance, which is not for requests.", param=param, code="unsupported_schema")
    try:
        Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        where = "/".join(map(str, error.absolute_path))[:100]
        raise errors.BadRequest(
            f"The schema is no valid JSON schema{f' at {where}' if where else ''}.", param=param, code="invalid_schema"
        ) from None
    return text


def require_strict(schema: dict[str, Any], param: str) -> None:
    """OpenAI's `strict: true`: every object closed, every property required; BadRequest otherwise."""
    for node in _objects(schema):
        properties = node.get("properties", {})
        if node.get("additionalProperties") is not False:
            raise errors.BadRequest(
                "A strict schema sets additionalProperties to false in every object.", param=param, code="invalid_schema"
            )
        if isinstance(properties, dict) and set(properties) - set(node.get("required", ())):
            raise errors.BadRequest("A strict schema requires every property of every object.", param=param, code="invalid_schema")


def conforms(schema: dict[str, Any], text: str) -> bool:
    """Whether `text` is JSON that satisfies `schema`, patterns apart."""
    try:
        value = json.loads(text)
        Draft202012Validator(_without_patterns(schema)).validate(value)
    except (ValueError, RecursionError, jsonschema.ValidationError):
        return False
    return True


def _measure(schema: Any, param: str) -> int:
    count, level = 0, [schema]
    for _ in range(MAX_DEPTH):
        count += len(level)
        below: list[Any] = []
        for value in level:
            below += list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
        if not below or count > MAX_NODES:
            return count
        level = below
    raise errors.BadRequest(f"The schema is deeper than {MAX_DEPTH} levels.", param=param, code="schema_too_large")


def _objects(schema: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    rest = [schema]
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            if value.get("type") == "object" or isinstance(value.get("properties"), dict):
                found.append(value)
            rest += list(value.values())
        elif isinstance(value, list):
            rest += value
    return found


def _without_patterns(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {
            key: _without_patterns(value) for key, value in schema.items() if key not in _BY_GRAMMAR_ALONE or not _is_keyword(key, value)
        }
    return [_without_patterns(value) for value in schema] if isinstance(schema, list) else schema


def _is_keyword(key: str, value: Any) -> bool:
    """A property may be named "pattern" or "format" as well; its value is then a schema, not a string."""
    return isinstance(value, dict) if key in ("patternProperties", "x-guidance") else isinstance(value, str)
