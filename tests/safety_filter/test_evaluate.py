"""The report's arithmetic, its made-up people, and that it runs to the end without data or weights."""

import json
import math
from pathlib import Path

import pytest
from slipway_safety_filter.evaluate import figures, measures, people
from slipway_safety_filter.evaluate.__main__ import GATE, main


def test_area_and_thresholds_by_hand() -> None:
    assert figures.area([0.9, 0.8], [0.1, 0.2]) == 1.0
    assert figures.area([0.5], [0.5]) == 0.5
    assert figures.area([0.1, 0.9], [0.5, 0.5]) == 0.5
    negatives = [k / 100 for k in range(100)]
    at = figures.threshold_at(negatives, 0.01)
    assert figures.share_reaching(negatives, at).hits == 1
    with pytest.raises(ValueError, match="no number"):
        figures.area([math.nan], [0.1])


def test_an_interval_holds_its_rate_and_shrinks() -> None:
    few, many = figures.Rate(9, 10), figures.Rate(900, 1000)
    assert few.interval()[0] < few.value < few.interval()[1]
    assert many.interval()[1] - many.interval()[0] < few.interval()[1] - few.interval()[0]


def test_every_made_up_value_stands_where_it_says_and_is_found() -> None:
    samples = people.planted(25)
    rates = measures.planted_rates(samples)
    assert set(rates) == set(people.KINDS)
    recall = sum(r.hits for r, _ in rates.values()) / sum(r.total for r, _ in rates.values())
    assert recall >= GATE["pii_recall"]


def test_the_report_runs_without_data_or_weights(tmp_path: Path) -> None:
    code = main(["--out", str(tmp_path), "--count", "5", "--rules-only"])
    report = json.loads((tmp_path / "report.json").read_text())
    assert code == (1 if report["missed"] else 0)
    assert report["figures"]["split_exact"] == 1.0
    assert report["figures"]["canary"] == 1.0
    assert "## Streams" in (tmp_path / "report.md").read_text()
