"""The share of vectors and words, fitted to lists in which one of the two is right."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from slipway_retriever.evaluate import weigh


def lists(count: int) -> list[dict[str, Any]]:
    """Where the nearest passage is very near, the vectors are right; else the words are."""
    rng, rows = Random(3), list[dict[str, Any]]()
    for number in range(count):
        near = number % 2 == 0
        right, other = rng.sample(range(6), 2)
        dense, words = [0.2] * 6, [0.2] * 6
        dense[right if near else other] = 0.8 if near else 0.4
        words[other if near else right] = 0.5
        rows.append({"set": "birds", "query": f"heron {number}", "found": 6, "relevant": [right], "dense": dense, "words": words})
    return rows


def test_vectors_count_where_something_is_near_if_that_is_what_the_lists_say() -> None:
    share, _ = weigh.fit(weigh.packed(lists(200), 200))
    ranking = [(0, 0.5), *[(item, 0.2) for item in range(1, 6)]]
    assert share.best > 0
    near, far = share.of([(0, 0.8)], ranking, 2), share.of([(0, 0.4)], ranking, 2)
    # With these scores the vectors' passage is first from a share of a third on where it is near, and from 0.6 on where it is not.
    assert near > 1 / 3
    assert far < 0.6
    assert near > far


def test_lists_without_an_answer_are_left_out() -> None:
    rows = [*lists(4), {**lists(1)[0], "relevant": [6]}]
    assert len(weigh.packed(rows, 10).weight) == 4
    assert len(weigh.packed(rows, 3).weight) == 3


def test_the_command_prints_a_share(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lists.jsonl").write_text("\n".join(map(json.dumps, lists(40))))
    assert weigh.main([str(tmp_path / "lists.jsonl")]) == 0
    assert capsys.readouterr().out.startswith("Share(bias=")
