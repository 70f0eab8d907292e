"""A check of one's own: a small function in a module beside the filter, held to its offsets, and closed where it fails."""

import json
from pathlib import Path
from typing import Any

import pytest
from slipway_safety_filter import own
from slipway_safety_filter.check import Checker
from slipway_safety_filter.policy import DEFAULT_TABLE, Change, Policies, PolicyFile, RowChange
from slipway_shared import errors
from slipway_shared.contracts import CheckRequest, Side

MODULE = """
from collections.abc import Iterator

from slipway_safety_filter.own import Found

def code_names(text: str, side: str) -> Iterator[Found]:
    at = text.lower().find("project tamarind")
    if at >= 0:
        yield Found(at, at + len("project tamarind"))

def breaks(text: str, side: str) -> Iterator[Found]:
    raise RuntimeError(text)
"""


def test_a_function_of_ones_own_decides(start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "acme_checks.py").write_text(MODULE)
    (tmp_path / "policy.json").write_text(json.dumps({"tenants": {"soft": {"categories": {"own.code_names": {"output": "redact"}}}}}))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    client = start(own_checks='["acme_checks:code_names"]', classifier="none", policy_file=tmp_path / "policy.json")

    def check(text: str, side: str, tenant: str = "local") -> dict[str, Any]:
        answer = client.post("/v1/check", json={"text": text, "side": side}, headers={"x-slipway-tenant": tenant})
        return answer.raise_for_status().json()

    asked = check("When does Project Tamarind ship?", "input")
    assert asked["verdict"] == "block"
    assert [(f["category"], f["start"], f["end"]) for f in asked["findings"]] == [("own.code_names", 10, 26)]
    told = check("It is project tamarind.", "output", tenant="soft")
    assert told["verdict"] == "redact" and "tamarind" not in told["text"]
    assert check("When does it ship?", "input")["verdict"] == "allow"
    assert client.get("/v1/policy").json()["categories"]["own"]["output"] == "block"


def test_a_check_that_fails_is_no_verdict() -> None:
    def breaks(text: str, side: Side) -> list[own.Found]:
        raise RuntimeError(text)

    checker = Checker(b"k", own=[own.Own("breaks", breaks)])
    with pytest.raises(errors.Internal, match=r"The check breaks failed \(RuntimeError\)\.$"):  # nothing of the text
        checker.check(CheckRequest(text="secret words"), Policies(DEFAULT_TABLE).default)


@pytest.mark.parametrize("found", [(0, 99), (-1, 2), (3, 3), (0, 1, 1.5), ("a", "b")])
def test_what_it_finds_must_lie_in_the_text(found: tuple[Any, ...]) -> None:
    def wrong(text: str, side: Side) -> list[own.Found]:
        return [own.Found(*found)]

    with pytest.raises(errors.Internal):
        own.Own("wrong", wrong).spans("short", "input")


def test_an_endless_check_is_cut() -> None:
    def endless(text: str, side: Side) -> Any:
        while True:
            yield own.Found(0, 1)

    assert len(own.Own("endless", endless).spans("short", "input")) == own.MAX_FOUND


@pytest.mark.parametrize(
    ("places", "said"),
    [
        (["no colon"], "write package.module:function"), (["slipway_nowhere:f"], "cannot be imported"), (["json:nothing"], "cannot be imported"),
        (["json:__name__"], "is no function"), (["json:dumps", "json:dumps"], "the same name"), (["os; import sys:f"], "is no check"),
    ],
)  # fmt: skip
def test_a_name_that_leads_to_no_function_stops_the_start(places: list[str], said: str) -> None:
    with pytest.raises(own.OwnCheckError, match=said):
        own.load(places)


@pytest.mark.parametrize(
    ("module", "said"),
    [("", "has no attribute 'code_names'"), ("def code_names(:", "SyntaxError"), ("raise OSError('no\\nlist')", "OSError: no list")],
)
def test_a_check_that_cannot_be_used_stops_the_process_in_one_sentence(
    refuse: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, said: str
) -> None:
    (tmp_path / "acme_checks.py").write_text(module)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    told: str = refuse(own_checks='["acme_checks:code_names"]')
    assert told.startswith("settings: SLIPWAY_SAFETY_OWN_CHECKS: the check acme_checks:code_names cannot be imported: ") and said in told
    assert told.count("\n") == 1


def test_each_check_can_have_a_row_of_its_own() -> None:
    rows = {"own.code_names": RowChange(input="allow")}
    policy = Policies(DEFAULT_TABLE, PolicyFile(default=Change(categories=rows))).default
    assert policy.action("own.code_names", "input") == "allow" and policy.action("own.other", "input") == "block"
