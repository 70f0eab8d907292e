"""The calibration command on rows that it makes sense of: it learns, it holds questions out, and its figures are the textbook's."""

import json
from pathlib import Path
from random import Random

import numpy as np
import pytest
from slipway_reranker.calibrate import fit, main, overlap_rows, read
from slipway_reranker.fitting import auc, calibration_error

THINGS = ["harbour", "lantern", "glacier", "orchard", "anvil", "meadow", "canyon", "violin", "turbine", "quarry"]


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    rng = Random(3)
    lines: list[str] = []
    for i in range(240):
        one, two, other = rng.sample(THINGS, 3)
        query = f"Who built the {one} beside the {two} in {1500 + i}?"
        noise = [f"The {thing} is known to all." for thing in rng.sample(THINGS, 4)]
        right = f"The {one} beside the {two} was built in {1500 + i} by a mason."
        lines.append(json.dumps({"set": "made", "query": query, "documents": [*noise, right], "answerable": True}))
        lines.append(json.dumps({"set": "made", "query": query, "documents": [*noise, f"The {other} is old."], "answerable": False}))
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_it_tells_answerable_questions_from_the_others(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(pairs)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("OVERLAP = Calibration(bias=")
    all_line = next(line for line in printed.splitlines() if line.startswith("| all"))
    assert float(all_line.split("|")[3]) > 0.95


def test_a_third_of_the_questions_is_held_out(pairs: Path) -> None:
    rows = overlap_rows(read(pairs))
    assert 0.15 < rows.held_out.mean() < 0.5
    assert len(fit(rows).weights) == rows.signals.shape[1]


def test_area_and_calibration_error_by_hand() -> None:
    values, truths = np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])
    assert auc(values, truths) == 0.75
    assert auc(np.array([0.5, 0.5]), np.array([True, False])) == 0.5
    assert calibration_error(np.array([0.05, 0.05, 0.95, 0.95]), np.array([False, False, True, True])) == pytest.approx(0.05)
