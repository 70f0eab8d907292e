"""Rows of a run: every one once an epoch, stages in turn, none that is held out, and by weight where there are weights."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from slipway_training.data.invented import prose
from slipway_training.data.packed import open_packed
from slipway_training.data.sampling import write_numbers
from slipway_training.errors import ConfigError, DataMissing
from slipway_training.pretrain.order import Order
from slipway_training.pretrain.recipe import open_loop, run
from slipway_training.pretrain.rows import find_rows


def test_every_row_once_an_epoch_stages_in_turn_and_none_that_is_held_out() -> None:
    order = Order((30, 20), held_out=5, seed=3)
    epoch = order.take(0, order.rows)
    assert sorted({*epoch, *order.held_out}) == list(range(50))
    assert len(set(epoch)) == len(epoch) == 45
    assert max(np.flatnonzero(epoch < 30)) < min(np.flatnonzero(epoch >= 30))
    again = np.concatenate([order.take(at, 7) for at in range(0, 91, 7)])
    assert again[:45].tolist() == epoch.tolist()
    assert sorted(again[45:90]) == sorted(epoch)
    assert again[45:90].tolist() != epoch.tolist()


def test_weights_decide_how_often_a_row_is_read() -> None:
    weights = np.ones(40)
    weights[:10] = 3.0
    order = Order((40,), held_out=1, seed=3, weights=weights)
    seen = Counter(order.take(0, 39 * 100).tolist())
    heavy, light = (np.mean([seen[i] for i in rows if i not in order.held_out]) for rows in (range(10), range(10, 40)))
    assert heavy / light == pytest.approx(3, rel=0.05)


def test_what_cannot_be_ordered_is_told() -> None:
    with pytest.raises(ConfigError, match="held out"):
        Order((5,), held_out=5, seed=1)
    with pytest.raises(ConfigError, match="5 numbers"):
        Order((5,), held_out=1, seed=1, weights=np.ones(4))


def test_a_run_samples_by_the_weights_of_its_own_rows_only(tiny: Callable[..., Any], tmp_path: Path) -> None:
    config = tiny("run.tokens=3000")
    rows = find_rows(config.data, Path(config.run.out), config.run.seed)
    write_numbers(tmp_path / "weights.parquet", "weight", np.full(len(rows.packed), 1.0), rows.packed)
    weighed = tiny("run.tokens=3000", f"data.weights={tmp_path / 'weights.parquet'}", out="weighed")
    assert run(weighed, Console(quiet=True))
    other = tiny("run.tokens=3000", "data.invented=70", f"data.weights={tmp_path / 'weights.parquet'}", out="other")
    with pytest.raises(DataMissing, match="other rows"):
        open_loop(other, find_rows(other.data, Path(other.run.out), 17), Path(other.run.out))


def test_a_mixture_is_prepared_where_there_are_no_rows_yet(tiny: Callable[..., Any], tmp_path: Path) -> None:
    first = tiny("run.tokens=1000")
    tokenizer = find_rows(first.data, Path(first.run.out), 17).tokenizer_path
    (tmp_path / "text.txt").write_text("\n\n".join(prose(seed) for seed in range(40)), encoding="utf-8")
    (tmp_path / "mixture.yaml").write_text(
        f"context: 64\nsources:\n  - {{name: rivers, url: '{tmp_path}/text.txt', format: text, licence: CC0-1.0, weight: 1.0}}\n"
        "cleaning: {languages: []}\nquality: {min_words: 1}\n",
        encoding="utf-8",
    )
    config = tiny(
        "run.tokens=2000", "data.invented=0", "data.held_out_rows=4", f"data.packed={tmp_path}/rows", f"data.mixture={tmp_path}/mixture.yaml",
        f"data.tokenizer={tokenizer}", out="mixed",
    )  # fmt: skip
    assert run(config, Console(quiet=True))
    assert open_packed(tmp_path / "rows").provenance[0].origin.licence == "CC0-1.0"
