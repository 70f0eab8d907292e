"""Attribute filters in OpenAI's shape: comparisons, and `and` / `or` over them; with bounds on depth and number.

It knows types and how they compare. It refuses to know passages: a file's attributes go in, yes or no comes out.
"""

from collections.abc import Callable, Mapping
from typing import Any

from slipway_shared import errors

MAX_DEPTH = 8
MAX_NODES = 128
MAX_VALUES = 256

Attribute = str | float | bool
Matches = Callable[[Mapping[str, Attribute]], bool]

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "gt": lambda a, b: a > b,
    "gte": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "lte": lambda a, b: a <= b,
}


def compile_filter(raw: Mapping[str, Any]) -> Matches:
    """The filter as a function; raises BadRequest that names what is wrong, never the value."""
    return _Compiler().node(raw, 1)


class _Compiler:
    """Counts nodes while it goes down."""

    def __init__(self) -> None:
        self._nodes = 0

    def node(self, raw: object, depth: int) -> Matches:
        self._nodes += 1
        if depth > MAX_DEPTH or self._nodes > MAX_NODES:
            raise _bad(f"at most {MAX_DEPTH} levels and {MAX_NODES} conditions are allowed")
        if not isinstance(raw, Mapping):
            raise _bad("a condition is an object")
        kind = raw.get("type")
        if kind in ("and", "or"):
            _only(raw, {"type", "filters"})
            inner = raw.get("filters")
            if not isinstance(inner, list) or not inner:
                raise _bad("`filters` is a list of conditions")
            parts = [self.node(part, depth + 1) for part in inner]
            return (lambda a: all(p(a) for p in parts)) if kind == "and" else (lambda a: any(p(a) for p in parts))
        _only(raw, {"type", "key", "value"})
        key, value = raw.get("key"), raw.get("value")
        if not isinstance(key, str) or not 1 <= len(key) <= 64:
            raise _bad("`key` is a text of 1 to 64 characters")
        return _comparison(kind, key, value)


def _comparison(kind: object, key: str, value: object) -> Matches:
    if kind in ("in", "nin"):
        if not isinstance(value, list) or len(value) > MAX_VALUES or not all(_scalar(v) for v in value):
            raise _bad(f"`value` of in and nin is a list of at most {MAX_VALUES} texts, numbers or booleans")
        values = list(value)
        wanted = kind == "in"
        return lambda a: any(_equal(a.get(key), v) for v in values) == wanted
    if not _scalar(value):
        raise _bad("`value` is a text, a number or a boolean")
    if kind in ("eq", "ne"):
        same = kind == "eq"
        return lambda a: _equal(a.get(key), value) == same
    if not isinstance(kind, str) or kind not in _ORDER:
        raise _bad("`type` is one of eq, ne, gt, gte, lt, lte, in, nin, and, or")
    compare = _ORDER[kind]
    return lambda a: _ordered(a.get(key), value) and compare(a[key], value)


def _scalar(value: object) -> bool:
    return isinstance(value, (str, bool, int, float)) and not (isinstance(value, str) and len(value) > 512)


def _equal(a: object, b: object) -> bool:
    return isinstance(a, bool) == isinstance(b, bool) and a == b


def _ordered(a: object, b: object) -> bool:
    """Numbers compare with numbers and texts with texts; everything else is no match."""
    numbers = all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in (a, b))
    return numbers or (isinstance(a, str) and isinstance(b, str))


def _only(raw: Mapping[Any, Any], known: set[str]) -> None:
    if not set(raw) <= known:
        raise _bad(f"only {', '.join(sorted(known))} are known here")


def _bad(what: str) -> errors.BadRequest:
    return errors.BadRequest(f"filters: {what}.", param="filters", code="invalid_filter")
