"""The page of a comparison of searches: what each adds to the better of the two that it is made of."""

from pathlib import Path

from slipway_retriever.evaluate import report
from slipway_retriever.evaluate.report import MEASURES, Row


def row(test: str, way: str, value: float) -> Row:
    return Row(test, way, 10, 100, dict.fromkeys(MEASURES, [value - 0.05, value + 0.05] * 5), 1.5)


ROWS = [
    row("birds", "dense", 0.6),
    row("birds", "bm25", 0.7),
    row("birds", "hybrid", 0.75),
    row("tides", "dense", 0.9),
    row("tides", "hybrid", 0.8),
]


def test_gains_are_over_the_better_of_dense_search_and_bm25() -> None:
    assert report.gains(ROWS)[1:] == [
        ["birds", "bm25 70.0", "+5.0 [+5.0, +5.0]"],
        ["tides", "dense 90.0", "-10.0 [-10.0, -10.0]"],
    ]


def test_the_page_holds_every_figure_and_the_plots(tmp_path: Path) -> None:
    report.write(tmp_path, "Retrieval", [report.Part("Notes", ["a < b"]), *report.searches(ROWS)])
    text, page = (tmp_path / "report.md").read_text(encoding="utf-8"), (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "| birds | hybrid | 10 | 75.0 [" in text
    assert "a &lt; b" in page
    for name in ("ndcg-10.svg", "recall-5.svg"):
        assert (tmp_path / name).read_text(encoding="utf-8") in page
