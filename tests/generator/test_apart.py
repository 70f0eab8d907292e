"""Rows that are computed one at a time: the same logits in the same order as together, and a choice that follows the clock."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from slipway_generator.engines.llamacpp.apart import SIZES, choose_apart
from slipway_generator.engines.llamacpp.context import Context
from slipway_generator.engines.llamacpp.library import load_library
from slipway_generator.engines.llamacpp.weights import Weights


@pytest.fixture
def context(tiny_model: Path) -> Iterator[Context]:
    pytest.importorskip("llama_cpp", reason="llama.cpp is not installed")
    weights = Weights(load_library({}), tiny_model / "tiny.gguf")
    one = Context(weights, cells=4 * 64, rows=32, slots=4, threads=1, kv_type="f32", pooled=False)
    yield one
    one.free()
    weights.free()


def step(context: Context) -> NDArray[np.float32]:
    """A row of two sequences, drafts of a third, and the middle of a prompt of which no logits are wanted: six rows, four outputs."""
    for slot in range(4):
        context.cut(slot, 0)
    context.begin()
    context.add(0, 0, np.asarray([40], dtype=np.int32), logits="last")
    context.add(1, 0, np.asarray([41], dtype=np.int32), logits="last")
    context.add(2, 0, np.asarray([42, 43], dtype=np.int32), logits="all")
    context.add(3, 0, np.asarray([44, 45], dtype=np.int32), logits="none")
    return context.decode().copy()


def test_rows_apart_give_what_they_give_together(context: Context) -> None:
    together = step(context)
    context.compute_apart(6)
    apart = step(context)
    assert apart.shape == together.shape
    assert np.abs(apart - together).max() < 1e-3 * np.abs(together).max()
    # What was read without logits stands in the memory as well: the next token says the same.
    last = np.asarray([46], dtype=np.int32)
    after: list[NDArray[np.float32]] = []
    for rows in (6, 0):
        context.compute_apart(rows)
        step(context)
        context.begin()
        context.add(3, 2, last, logits="last")
        after.append(context.decode().copy())
    assert np.abs(after[0] - after[1]).max() < 1e-3 * np.abs(after[1]).max()


def test_more_rows_than_were_asked_for_are_computed_together(context: Context) -> None:
    together = step(context)
    context.compute_apart(4)
    assert (step(context) == together).all()


def test_the_choice_ends_where_rows_together_are_no_slower_and_leaves_nothing_behind(context: Context) -> None:
    before = step(context)
    for slot in range(4):
        context.cut(slot, 0)
    chosen = choose_apart(context)
    assert chosen.rows in (0, *SIZES)
    said = [float(part.split()[-2]) for part in chosen.reason.split(", ")]
    assert len(said) == min(len(SIZES), SIZES.index(chosen.rows) + 2 if chosen.rows else 1) + 1
    assert all(number > 0 for pair in pairwise(said) for number in pair)
    assert (step(context) == before).all()
