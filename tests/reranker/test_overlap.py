"""The overlap scorer's arithmetic: rarity, windows, pairs; and that its figures stay in [0, 1] for any text."""

from hypothesis import given
from hypothesis import strategies as st
from slipway_reranker.evidence import OVERLAP, SIGNAL_NAMES
from slipway_reranker.overlap import WINDOW_TERMS, OverlapScorer, match


def test_terms_close_together_beat_terms_far_apart() -> None:
    weight = {"a": 1.0, "b": 1.0}
    near = ["a", "b", *["x"] * 100]
    far = ["a", *["x"] * WINDOW_TERMS, "b"]
    assert match(["a", "b"], near, weight).window == 1.0
    assert match(["a", "b"], far, weight).window == 0.5
    assert match(["a", "b"], near, weight).coverage == match(["a", "b"], far, weight).coverage == 1.0


def test_the_window_forgets_what_left_it() -> None:
    weight = {"a": 1.0, "b": 1.0, "c": 1.0}
    terms = ["a", *["x"] * (WINDOW_TERMS - 1), "b", "a", "c"]
    assert match(["a", "b", "c"], terms, weight).window == 1.0
    assert match(["a", "b", "c"], terms[: WINDOW_TERMS + 1], weight).window == 1 / 3


def test_neighbours_in_the_query_that_are_neighbours_in_the_passage_count() -> None:
    weight = {"a": 1.0, "b": 1.0, "c": 1.0}
    assert match(["a", "b", "c"], ["a", "b", "x", "c"], weight).pairs == 0.5
    assert match(["a", "b", "c"], ["c", "b", "a"], weight).pairs == 0.0


@given(st.text(max_size=200), st.lists(st.text(max_size=300), min_size=1, max_size=6))
def test_every_figure_is_in_the_unit_interval(query: str, documents: list[str]) -> None:
    scored = OverlapScorer().score(query, documents)
    assert len(scored.relevance) == len(documents)
    assert all(0 <= score <= 1 for score in (*scored.relevance, scored.evidence))


def test_there_is_a_weight_for_every_signal() -> None:
    assert len(OVERLAP.weights) == len(SIGNAL_NAMES)
