"""Every recipe's dry run says what a run is made of, what it needs, how long it takes and what that costs."""

from pathlib import Path

import pytest
from slipway_training.costs import ending
from slipway_training.recipes import RECIPES, recipe

pytest.importorskip("torch")

ENCODED = ("safety", "names")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("encoder")


@pytest.mark.parametrize("name", sorted(RECIPES.keys() - {"reranker"}))
def test_a_dry_run_has_every_row(name: str, tmp_path: Path, cache: Path) -> None:
    alone = name in ("tokenizer", *ENCODED)
    words = [f"{'out' if alone else 'run.out'}={tmp_path / 'run'}", f"{'' if alone else 'run.'}price_per_hour=2"]
    words += [f"cache={cache}"] if name in ENCODED else []
    rows = dict(recipe(name).dry_run(recipe(name).load(None, words, tiny=True)))
    assert {"parameters", "training tokens", "memory", "measured here", "expected", "cost"} <= rows.keys()
    assert any(mark.isdigit() for mark in rows["training tokens"])
    assert rows["expected"].partition(" ")[2].startswith("h")
    assert rows["cost"].endswith(" at 2 an hour")
    assert not (tmp_path / "run").exists()


def test_an_hour_costs_what_was_said_and_a_bound_bounds_both() -> None:
    assert ending(7200, 0.5, "price") == [("expected", "2.00 h"), ("cost", "1.00 at 0.5 an hour")]
    assert ending(7200, 0.5, "price", minutes=60) == [("expected", "1.00 h (bounded by run.minutes=60)"), ("cost", "0.50 at 0.5 an hour")]
    assert ending(7200, 0.5, "price", minutes=600)[0] == ("expected", "2.00 h")
    assert ending(3600, 0, "run.price")[1] == ("cost", "1.00 hours of it; run.price=... says what one costs")
