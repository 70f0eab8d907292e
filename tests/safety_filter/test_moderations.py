"""`/v1/moderations` shows the operator's own checks beside OpenAI's categories and ours."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from slipway_safety_filter.moderation import HARM_CATEGORIES, OUR_CATEGORIES

MODULE = """
from slipway_safety_filter.own import Found

def code_names(text, side):
    at = text.lower().find("tamarind")
    return [Found(at, at + 8, 0.9), Found(at, at + 8, 0.2)] if at >= 0 else []

def hunches(text, side):
    return [Found(0, 1, 0.3)] if "perhaps" in text else []
"""


@pytest.fixture(scope="module")
def own(start: Callable[..., httpx.Client], tmp_path_factory: pytest.TempPathFactory) -> httpx.Client:
    """A filter with two checks of its operator's own; the tenant `careful` minds hunches."""
    folder: Path = tmp_path_factory.mktemp("own")
    (folder / "their_checks.py").write_text(MODULE)
    (folder / "policy.json").write_text('{"tenants": {"careful": {"categories": {"own.hunches": {"threshold": 0.25}}}}}')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        return start(
            own_checks='["their_checks:code_names", "their_checks:hunches"]', classifier="none", policy_file=folder / "policy.json"
        )


def _one(client: httpx.Client, text: str, tenant: str = "local") -> dict[str, Any]:
    answer = client.post("/v1/moderations", json={"input": text}, headers={"x-slipway-tenant": tenant})
    return answer.raise_for_status().json()["results"][0]


def test_own_checks_stand_beside_the_known_categories(own: httpx.Client) -> None:
    calm = _one(own, "When does it ship?")
    names = {*HARM_CATEGORIES, *OUR_CATEGORIES, "own.code_names", "own.hunches"}
    assert set(calm["categories"]) == set(calm["category_scores"]) == set(calm["category_applied_input_types"]) == names
    assert not calm["flagged"] and calm["category_scores"]["own.code_names"] == 0
    told = _one(own, "When does Tamarind ship?")
    assert told["flagged"] and [name for name, found in told["categories"].items() if found] == ["own.code_names"]
    assert told["category_scores"]["own.code_names"] == 0.9


def test_a_score_below_the_tenants_threshold_is_shown_and_does_not_flag(own: httpx.Client) -> None:
    text = "perhaps on Friday"
    for tenant, flagged in (("local", False), ("careful", True)):
        found = _one(own, text, tenant)
        assert found["category_scores"]["own.hunches"] == 0.3
        assert found["flagged"] is found["categories"]["own.hunches"] is flagged


def test_without_own_checks_the_categories_are_openais_and_ours(client: httpx.Client) -> None:
    assert set(_one(client, "hello")["categories"]) == {*HARM_CATEGORIES, *OUR_CATEGORIES}
