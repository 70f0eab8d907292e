"""What the recipe wrote, as the reranker loads it: the two doors of one folder."""

from pathlib import Path

import numpy as np
from slipway_reranker.app import load_scorer
from slipway_reranker.settings import RerankerSettings
from slipway_training.reranker.made import COLOURS


def test_it_learns_which_house_is_meant(trained: Path) -> None:
    scorer = load_scorer(RerankerSettings(scorer=str(trained)))
    for colour in COLOURS:
        relevance = scorer.score(f"{colour} house", [f"house {other}" for other in COLOURS]).relevance
        assert max(range(len(COLOURS)), key=lambda i: relevance[i]) == COLOURS.index(colour)


def test_scores_are_in_the_unit_interval_and_cut_passages_are_named(trained: Path) -> None:
    scored = load_scorer(RerankerSettings(scorer=str(trained))).score("red house", ["house red", "house blue", "", "house green " * 500])
    assert all(0 < score < 1 for score in (*scored.relevance, scored.evidence))
    assert scored.truncated == (3,)


def test_batching_changes_nothing_but_time(trained: Path) -> None:
    documents = ["house red", "house blue white", "grey", "house " * 40]
    together, alone = (
        load_scorer(RerankerSettings(scorer=str(trained), batch_tokens=tokens, max_pair_tokens=256)).score("red house", documents).relevance
        for tokens in (4096, 256)
    )
    np.testing.assert_allclose(together, alone, atol=0.02)  # int8 scales depend on the batch
