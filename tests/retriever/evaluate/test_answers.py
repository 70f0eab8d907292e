"""Exact match and F1 by hand, and the report of a run through the API."""

from pathlib import Path

import pytest
from slipway_retriever.evaluate import rag_report, report
from slipway_retriever.evaluate.answers import Asked, exact, f1, groups, rank_table, table, within


def test_exact_match_forgives_case_articles_marks_and_citations() -> None:
    assert exact("The Heron. [1]", ["heron"]) == 1.0
    assert exact("a grey heron", ["heron"]) == 0.0


def test_f1_by_hand() -> None:
    assert f1("the grey heron [2]", ["heron"]) == pytest.approx(2 / 3)
    assert f1("nothing", ["heron"]) == 0.0
    assert f1("grey heron", ["stork", "grey heron"]) == 1.0


def asked(query: str, rank: int | None, *, right: float = 1.0, answered_on_miss: bool = False, milliseconds: float = 100.0) -> Asked:
    return Asked(query, rank, False, right, right, 0.5, milliseconds, answered_on_miss, False)


def test_the_table_has_slices_and_counts_answers_to_misses() -> None:
    lines = table("questions", groups([asked("Who stands?", 1, answered_on_miss=True), asked("where is it", None)]))
    assert [line[0] for line in lines[1:]] == ["all", "search hit", "search miss", "where", "who"]
    assert lines[1][2:5] == ["50", "100", "100"]
    assert lines[1][8] == "50"


def test_answers_are_told_by_the_rank_of_what_holds_them() -> None:
    rows = [asked("who", 1), asked("who", 1, right=0.0), asked("who", 3), asked("who", 5), asked("who", None, right=0.0)]
    assert [line[:4] for line in rank_table({"birds": rows, "tides": rows[:2]})[1:]] == [
        ["birds", "first", "2", "50"],
        ["birds", "second or third", "1", "100"],
        ["birds", "further back", "1", "100"],
        ["birds", "not found", "1", "0"],
        ["tides", "first", "2", "50"],
    ]


def test_a_limit_on_time_counts_late_answers_as_none() -> None:
    rows = [asked("who", 1, milliseconds=100), asked("who", 1, milliseconds=900), asked("who", 1, right=0.0, milliseconds=50)]
    assert within(rows, 500) == (pytest.approx(2 / 3), pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert within(rows, 1000)[:2] == (1.0, pytest.approx(2 / 3))


def test_the_report_is_a_page_with_its_plots_beside_it(tmp_path: Path) -> None:
    rows = [asked(f"who is {i} <b>", 1 + i % 6 if i % 3 else None, milliseconds=40.0 * i) for i in range(12)]
    rag_report.write(tmp_path, "Answers <1>", {"birds": rows, "tides": rows[:6]}, [report.Part("Limits", ["three"])])
    text, page = (tmp_path / "report.md").read_text(encoding="utf-8"), (tmp_path / "report.html").read_text(encoding="utf-8")
    for name in ("sets.svg", "misses.svg", "rank.svg", "time.svg"):
        assert f"({name})" in text
        drawn = (tmp_path / name).read_text(encoding="utf-8")
        assert drawn.startswith("<svg")
        assert drawn in page
    assert "Answers &lt;1&gt;" in page
    assert "| 5,000 ms | 100 |" in text
    assert "| tides | 6 |" in text
    assert "## Limits\n\nthree" in text
