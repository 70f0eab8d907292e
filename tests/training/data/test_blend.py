from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slipway_training.data.blend import order, shares
from slipway_training.data.mixture import MixtureConfig
from slipway_training.errors import ConfigError


def mixture(weights: dict[str, float], **how: Any) -> MixtureConfig:
    sources = [{"name": n, "url": "x", "licence": "MIT", "weight": w} for n, w in weights.items()]
    return MixtureConfig.model_validate({"sources": sources, "context": 10, **how})


def test_weights_share_the_token_budget() -> None:
    got = shares(mixture({"a": 3, "b": 1}, tokens=4000), {"a": 1000, "b": 1000})
    assert (got["a"].taken, got["b"].taken) == (300, 100)
    assert got["a"].repeats == 0.3


def test_without_a_budget_the_scarcest_source_is_taken_whole_and_nothing_twice() -> None:
    got = shares(mixture({"a": 1, "b": 1}), {"a": 50, "b": 1000})
    assert (got["a"].taken, got["b"].taken) == (50, 50)


def test_a_small_source_repeats_up_to_its_bound_and_falls_short() -> None:
    got = shares(mixture({"a": 1, "b": 1}, tokens=20_000, max_repeats=4), {"a": 100, "b": 1000})
    assert got["a"].taken == 400 and got["a"].wanted == 1000 and got["b"].taken == 1000


def test_a_source_without_a_row_is_an_error() -> None:
    with pytest.raises(ConfigError, match="b fills no row"):
        shares(mixture({"a": 1, "b": 1}), {"a": 5, "b": 0})


def test_repeats_are_even_and_stages_keep_their_parts() -> None:
    config = mixture({"a": 1, "b": 1}, tokens=5000, stages=[100, 0])
    stages, taken = order(config, {"a": [40, 60], "b": [300, 100]})
    assert taken["a"].taken == 250 and taken["b"].taken == 250
    for number, (a_rows, b_rows) in enumerate([(40, 300), (60, 100)]):
        seen = Counter(map(tuple, stages[number].tolist()))
        a, b = [[seen[(s, r)] for r in range(n)] for s, n in ((0, a_rows), (1, b_rows))]
        assert sum(a) == [100, 150][number] and set(a) == {2, 3}
        assert sum(b) in ([187, 188], [62, 63])[number] and set(b) == {0, 1}


def test_the_order_is_shuffled_by_the_seed_alone() -> None:
    rows = {"a": [200], "b": [100]}
    one, same = (order(mixture({"a": 2, "b": 1}, tokens=3000), rows)[0][0] for _ in range(2))
    other = order(mixture({"a": 2, "b": 1}, tokens=3000, seed=18), rows)[0][0]
    assert np.array_equal(one, same) and not np.array_equal(one, other)
    assert sorted(one.tolist()) != one.tolist()


def test_another_source_changes_no_other_sources_rows() -> None:
    one = order(mixture({"a": 1, "b": 1}, tokens=200), {"a": [100], "b": [100]})[0][0]
    more = order(mixture({"a": 1, "b": 1, "c": 1}, tokens=300), {"a": [100], "b": [100], "c": [100]})[0][0]
    assert sorted(map(tuple, one[one[:, 0] == 0].tolist())) == sorted(map(tuple, more[more[:, 0] == 0].tolist()))


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.integers(0, 40), min_size=3, max_size=3).filter(any), tokens=st.integers(0, 4000))
def test_what_is_taken_is_what_is_ordered(rows: list[int], tokens: int) -> None:
    config = mixture({"a": 1}, tokens=tokens, stages=[5, 50, 0])
    stages, taken = order(config, {"a": rows})
    assert sum(map(len, stages)) == taken["a"].taken <= 4 * sum(rows)
    assert all((s[:, 1] < n).all() for s, n in zip(stages, rows, strict=True))
