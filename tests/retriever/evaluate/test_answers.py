"""Exact match and F1 by hand, and the table of a run through the API."""

import pytest
from slipway_retriever.evaluate.answers import Asked, exact, f1, table


def test_exact_match_forgives_case_articles_marks_and_citations() -> None:
    assert exact("The Heron. [1]", ["heron"]) == 1.0
    assert exact("a grey heron", ["heron"]) == 0.0


def test_f1_by_hand() -> None:
    assert f1("the grey heron [2]", ["heron"]) == pytest.approx(2 / 3)
    assert f1("nothing", ["heron"]) == 0.0
    assert f1("grey heron", ["stork", "grey heron"]) == 1.0


def asked(query: str, *, hit: bool, answered_on_miss: bool) -> Asked:
    return Asked(query, hit, False, 1.0, 1.0, 0.5, 100.0, answered_on_miss, False)


def test_the_table_has_slices_and_counts_answers_to_misses() -> None:
    rows = [asked("Who stands?", hit=True, answered_on_miss=True), asked("where is it", hit=False, answered_on_miss=False)]
    lines = table(rows).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| all", "| search hit", "| search miss", "| where", "| who"]
    everything = [cell.strip() for cell in lines[2].strip("|").split("|")]
    assert everything[2:5] == ["50", "100", "100"]
    assert everything[7] == "50"
