from random import Random

import pytest
from slipway_shared.grounding import NOT_IN_SOURCES, is_grounded
from slipway_training.errors import ConfigError
from slipway_training.evaluation.baseline import Overlap
from slipway_training.evaluation.scores import Item, exact, f1, paired, score
from slipway_training.evaluation.sets import PASSAGES, build_set, page_items, squad_items
from slipway_training.rows import Page
from slipway_training.sources.squad import SquadRow

ITEMS = [
    Item(("The port is 80.", "The host is big."), "Which port?", ("80",), 1),
    Item(("The port is 80.", "The host is big."), "Which host?", ("the big one", "big"), 2),
    Item(("The port is 80.",), "Who?", (), 0),
]


def test_em_and_f1_are_squads() -> None:
    assert exact(" The Big One! [2]", ("big one",)) == 1.0
    assert exact("80 81 [1]", ("80",)) == 0.0
    assert f1("80 81 [1]", ("80",)) == pytest.approx(2 / 3)
    assert f1("nothing [1]", ("80",)) == 0.0
    assert f1("x [1]", ()) == 0.0


def test_a_perfect_reader_scores_one_and_a_silent_one_nothing() -> None:
    best = score(ITEMS, [" 80 [1]", " big [2]", NOT_IN_SOURCES])
    assert {name: figure.mean for name, figure in best.items()} == dict.fromkeys(best, 1.0)
    silent = score(ITEMS, [NOT_IN_SOURCES] * 3)
    assert silent["f1"].mean == 0.0
    assert silent["abstention_f1"].mean == pytest.approx(0.5)
    assert silent["citation"].n == 0


def test_wrong_citations_and_invented_words_are_seen() -> None:
    figures = score(ITEMS, [" 80 [2]", " huge [2]", "80 [1]"])
    assert figures["citation"].mean == 0.5
    assert figures["grounded"].mean == pytest.approx(1 / 3)
    assert figures["abstention_f1"].mean == 0.0


def test_intervals_hold_the_mean_and_pairs_cancel() -> None:
    figure = paired([1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.0])
    assert figure.low <= figure.mean == 0.5 <= figure.high
    same = paired([0.3, 0.9], [0.3, 0.9])
    assert (same.low, same.high) == (0.0, 0.0)
    assert str(figure).startswith("0.500 [")


def test_the_baseline_quotes_the_best_sentence() -> None:
    passages = ("Gates open at nine. The harbour is old.", "The harbour master keeps 14 boats. Nobody fishes.")
    reply = Overlap().answer(passages, "How many boats does the harbour master keep?")
    assert reply == "The harbour master keeps 14 boats. [2]"
    assert is_grounded(reply, passages)
    assert Overlap().answer((), "What?") == NOT_IN_SOURCES
    assert Overlap(floor=0.9).answer(passages, "harbour zebra") == NOT_IN_SOURCES


def test_squad_items_come_in_pairs() -> None:
    rows = [SquadRow(f"Town {n} has {n}77 houses and a long street.", f"How many houses has town {n}?", (f"{n}77",)) for n in range(1, 9)]
    items = squad_items(rows, Random(1))
    assert len(items) == 16
    for with_gold, without in zip(items[::2], items[1::2], strict=True):
        assert with_gold.answers[0] in with_gold.passages[with_gold.number - 1]
        assert not any(with_gold.answers[0] in p for p in without.passages)
        assert len(with_gold.passages) == len(without.passages) == PASSAGES


def test_page_items_are_drawn_alike_every_time(pages: list[Page]) -> None:
    assert page_items(pages, Random(1), 30) == page_items(pages, Random(1), 30)
    assert {i.number == 0 for i in page_items(pages, Random(1), 60)} == {True, False}
    assert len(build_set("lookup_unseen", None)) == 200
    with pytest.raises(ConfigError):
        build_set("squad_sample_validation", None)
