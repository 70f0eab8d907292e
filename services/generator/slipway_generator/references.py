"""`$ref` inside JSON schemas: only local ones are followed, and a schema may move into a larger document without breaking them.

It knows which keywords hold schemas and which hold data, and refuses to resolve anything: the grammar's compiler and jsonschema do that.
"""

from collections.abc import Iterator
from typing import Any

from slipway_shared import errors

_DATA = frozenset({"const", "enum", "default", "examples", "required", "type"})
_NAMED = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
_ELSEWHERE = ("$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef")
"""They give references another base than the document's root, so that a pointer would no longer mean what it says."""


def schemas_in(schema: Any) -> Iterator[dict[str, Any]]:
    """Every schema in `schema`, itself included; properties that are named like keywords, and data, are no schemas."""
    rest: list[Any] = [schema]
    while rest:
        one = rest.pop()
        if isinstance(one, list):
            rest += one
        elif isinstance(one, dict):
            yield one
            for key, value in one.items():
                if key in _NAMED and isinstance(value, dict):
                    rest += value.values()
                elif key not in _DATA:
                    rest.append(value)


def require_local(schema: dict[str, Any], param: str) -> None:
    """BadRequest when a reference leaves the document."""
    for one in schemas_in(schema):
        target = one.get("$ref", "#")
        if not isinstance(target, str) or not (target == "#" or target.startswith("#/")):
            raise errors.BadRequest(
                "The schema holds a $ref that leaves it; only references such as #/$defs/Name are followed.",
                param=param,
                code="unsupported_schema",
            )
        if found := [name for name in _ELSEWHERE if name in one and one is not schema]:
            raise errors.BadRequest(
                f"The schema uses {found[0]}; refer by $ref and #/$defs/Name instead.", param=param, code="unsupported_schema"
            )


def refers(schema: dict[str, Any]) -> bool:
    """Whether any schema in it holds a `$ref`."""
    return any("$ref" in one for one in schemas_in(schema))


def moved(schema: Any, place: str) -> Any:
    """A copy of `schema` whose local references hold once it lies at `place` (a JSON pointer, such as `#/$defs/t0`) of another document."""
    if isinstance(schema, list):
        return [moved(one, place) for one in schema]
    if not isinstance(schema, dict):
        return schema
    out: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "$ref" and isinstance(value, str):
            out[key] = place + value[1:]
        elif key in _NAMED and isinstance(value, dict):
            out[key] = {name: moved(one, place) for name, one in value.items()}
        elif key not in _DATA and key not in ("$id", "$schema"):
            out[key] = moved(value, place)
        elif key in _DATA:
            out[key] = value
    return out
