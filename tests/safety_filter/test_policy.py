"""The policy table: overlays, inheritance, versions, refusals."""

from pathlib import Path

import pytest
from slipway_safety_filter.policy import DEFAULT_TABLE, Policies, PolicyError, PolicyFile, read


def test_the_most_specific_row_wins() -> None:
    policy = Policies(DEFAULT_TABLE).default
    assert policy.action("pii.email", "output") == "allow"
    assert policy.action("pii.card", "output") == "redact"
    assert policy.action("pii.card.virtual", "output") == "redact"


def test_a_tenant_changes_fields_on_top_of_everybodys() -> None:
    file = PolicyFile.model_validate(
        {
            "default": {"categories": {"pii": {"output": "redact"}}},
            "tenants": {"a": {"categories": {"pii.email": {"threshold": 0.9}}}, "b": {"mode": "monitor"}},
        }
    )
    policies = Policies(DEFAULT_TABLE, file)
    assert policies.of("a").row("pii.email").model_dump() == {"threshold": 0.9, "input": "allow", "output": "redact"}
    assert policies.of("stranger").action("pii.email", "output") == "redact"
    assert policies.of("b").action("pii.card", "output") == "allow"
    assert len({policies.of(t).id for t in ("a", "b", "stranger")}) == 3


def test_a_version_names_the_content() -> None:
    same = [Policies(DEFAULT_TABLE).default.version for _ in range(2)]
    other = Policies(DEFAULT_TABLE, PolicyFile.model_validate({"default": {"allow": ["x"]}})).default.version
    assert same[0] == same[1] != other


@pytest.mark.parametrize(
    "text",
    ["{", '{"default": {"mode": "off"}}', '{"default": {"categories": {"pi": {}}}}', '{"x": 1}', '{"tenants": {"a": {"categories": {"pii": {"threshold": 2}}}}}',
     '{"tenants": {"a": {"allow": [""]}}}'],
)  # fmt: skip
def test_what_is_not_understood_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(PolicyError):
        read(tmp_path / "p.json", DEFAULT_TABLE)


def test_a_missing_file_is_refused_and_none_is_the_table(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="No such file"):
        read(tmp_path / "none.json", DEFAULT_TABLE)
    assert read(None, DEFAULT_TABLE).default.categories == DEFAULT_TABLE
