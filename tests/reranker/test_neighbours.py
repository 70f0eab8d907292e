"""What passages count for each other, and how they are drawn up to their neighbours."""

import numpy as np
import pytest
from slipway_reranker.neighbours import MAX_TERMS, lifted, neighbours

TIDE, TIDES, STONE = ["tide", "turns", "twice", "day"], ["tide", "turns", "moon"], ["stone", "wall", "day"]


def test_the_likest_passage_counts_most_and_a_row_sums_to_one() -> None:
    near = neighbours([TIDE, TIDES, STONE])
    assert near.sum(axis=1) == pytest.approx([1.0, 1.0, 1.0])
    assert np.diag(near).tolist() == [0.0, 0.0, 0.0]
    assert near[0, 1] > near[0, 2]


def test_a_word_that_all_passages_hold_tells_less_than_one_of_two() -> None:
    near = neighbours([["all", "one"], ["all", "two"], ["one", "all", "three"]])
    assert near[0, 2] > near[0, 1]


@pytest.mark.parametrize("texts", [[], [TIDE], [[], []], [TIDE, []]])
def test_lists_without_neighbours_stay_as_they_are(texts: list[list[str]]) -> None:
    odds = np.arange(len(texts), dtype=float)[::-1].copy()
    found = lifted(odds, neighbours(texts), 0.5)
    assert np.isfinite(found).all()
    if len(texts) < 2:
        assert found.tolist() == odds.tolist()


def test_nobody_is_drawn_down_or_past_the_one_that_draws() -> None:
    near = neighbours([TIDE, TIDE, STONE])
    odds = np.array([4.0, -4.0, -2.0])
    found = lifted(odds, near, 1.0)
    assert (found >= odds).all()
    assert found[0] == 4.0
    assert -2.0 < found[1] <= 4.0
    assert lifted(odds, near, 0.0).tolist() == odds.tolist()


def test_the_size_of_texts_is_bounded() -> None:
    long = [f"word{number}" for number in range(MAX_TERMS)]
    near = neighbours([[*long, *TIDE], TIDE, STONE])
    assert near[0, 1] == pytest.approx(near[0, 2]), "what stands behind is not compared"
