"""JSON schemas from outside: bounded before anything reads them, held to OpenAI's strict rules, and checked once more against what was generated.

It refuses to know tokens and grammars.
"""

import json
from typing import Any

import jsonschema_rs
from slipway_shared import errors

from slipway_generator.references import require_local, schemas_in

MAX_BYTES = 1 << 16
MAX_DEPTH = 32
MAX_NODES = 5000
MAX_MET_PATTERNS = 8
"""Patterns in a schema that demands several at once: llguidance decides whether their intersection is empty, 30 ms for 14 of them and 3 s and 200 MB for 20."""
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
        # `$schema` would choose another draft, or be looked for.
        jsonschema_rs.meta.validate({key: value for key, value in schema.items() if key != "$schema"})
    except jsonschema_rs.ValidationError as error:
        where = "/".join(map(str, error.instance_path))[:100]
        raise errors.BadRequest(
            f"The schema is no valid JSON schema{f' at {where}' if where else ''}.", param=param, code="invalid_schema"
        ) from None
    require_local(schema, param)
    _bound_intersections(schema, param)
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
        return jsonschema_rs.Draft202012Validator(_without_patterns(schema), offline=True).is_valid(value)
    except (ValueError, RecursionError, jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError):
        return False


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


def _bound_intersections(schema: dict[str, Any], param: str) -> None:
    """Patterns that must hold together are few; each alone is bounded by the grammar's fuel."""
    nodes = list(schemas_in(schema))
    patterns = sum(isinstance(one.get("pattern"), str) for one in nodes)
    if patterns > MAX_MET_PATTERNS and any(_intersects(one) for one in nodes):
        raise errors.BadRequest(
            f"The schema combines more than {MAX_MET_PATTERNS} patterns by allOf or beside a $ref; write one pattern for each string.",
            param=param,
            code="schema_too_large",
        )


def _intersects(schema: dict[str, Any]) -> bool:
    several = schema.get("allOf")
    if isinstance(several, list) and len(several) > 1:
        return True
    return "pattern" in schema and any(key in schema for key in ("$ref", "allOf", "anyOf", "oneOf"))


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
