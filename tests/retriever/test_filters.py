"""Attribute filters: what each comparison means, across types; what is refused."""

from typing import Any

import pytest
from slipway_retriever.filters import MAX_DEPTH, MAX_NODES, compile_filter
from slipway_shared import errors

REPORT = {"kind": "report", "year": 2025.0, "final": True}


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ({"type": "eq", "key": "kind", "value": "report"}, True),
        ({"type": "ne", "key": "kind", "value": "report"}, False),
        ({"type": "ne", "key": "missing", "value": 1}, True),
        ({"type": "eq", "key": "final", "value": True}, True),
        ({"type": "eq", "key": "final", "value": 1}, False),
        ({"type": "gt", "key": "year", "value": 2024}, True),
        ({"type": "lte", "key": "year", "value": 2024}, False),
        ({"type": "gt", "key": "kind", "value": "a"}, True),
        ({"type": "gt", "key": "kind", "value": 1}, False),
        ({"type": "lt", "key": "missing", "value": 1}, False),
        ({"type": "in", "key": "year", "value": [2024, 2025]}, True),
        ({"type": "nin", "key": "year", "value": [2024, 2025]}, False),
        ({"type": "nin", "key": "missing", "value": ["a"]}, True),
    ],
)
def test_a_comparison(condition: dict[str, Any], wanted: bool) -> None:
    assert compile_filter(condition)(REPORT) is wanted


def test_and_or_nest() -> None:
    yes, no = {"type": "eq", "key": "kind", "value": "report"}, {"type": "eq", "key": "kind", "value": "memo"}
    assert compile_filter({"type": "or", "filters": [no, {"type": "and", "filters": [yes, yes]}]})(REPORT)
    assert not compile_filter({"type": "and", "filters": [yes, {"type": "or", "filters": [no, no]}]})(REPORT)


@pytest.mark.parametrize(
    "condition",
    [
        {},
        {"type": "eq"},
        {"type": "like", "key": "a", "value": "b"},
        {"type": "eq", "key": "a", "value": None},
        {"type": "eq", "key": "a", "value": ["b"]},
        {"type": "eq", "key": "", "value": "b"},
        {"type": "eq", "key": "a" * 65, "value": "b"},
        {"type": "eq", "key": "a", "value": "b" * 513},
        {"type": "eq", "key": "a", "value": "b", "more": 1},
        {"type": "in", "key": "a", "value": "b"},
        {"type": "in", "key": "a", "value": [1] * 257},
        {"type": "and", "filters": []},
        {"type": "and", "filters": {"type": "eq"}},
        {"type": "and", "filters": ["text"]},
        {"type": "or", "filters": [{"type": "eq", "key": "a", "value": 1}] * MAX_NODES},
    ],
)
def test_what_cannot_be_read_is_refused(condition: dict[str, Any]) -> None:
    with pytest.raises(errors.BadRequest, match="filters"):
        compile_filter(condition)


def test_depth_is_bounded() -> None:
    condition: dict[str, Any] = {"type": "eq", "key": "a", "value": 1}
    for _ in range(MAX_DEPTH - 1):
        condition = {"type": "or", "filters": [condition]}
    compile_filter(condition)
    with pytest.raises(errors.BadRequest):
        compile_filter({"type": "or", "filters": [condition]})
