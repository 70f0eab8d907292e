"""The embedded cross-encoder's graph on both engines: the same answer, padded or not, and small passes where they belong."""

import signal
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from slipway_shared.encoding import signal_stack
from slipway_shared.encoding.choice import Choice, choose
from slipway_shared.encoding.session import SMALL_PASS, BySize, OnnxSession, OpenVinoSession, RowsApart, open_session, padded, passes

MODEL = Path(__file__).parents[3] / "models" / "slipway-reranker" / "model.onnx"
pytest.importorskip("openvino", reason="OpenVINO is installed on x86-64 Linux only")
Ids = NDArray[np.int64]


def feeds(rows: int, tokens: int, padding: int = 0) -> dict[str, Ids]:
    rng = np.random.default_rng(3)
    ids = np.zeros((rows, tokens + padding), dtype=np.int64)
    ids[:, :tokens] = rng.integers(1000, 20000, (rows, tokens))
    mask, types = np.zeros_like(ids), np.zeros_like(ids)
    mask[:, :tokens], types[:, 9:tokens] = 1, 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


class Named:
    """A session that says in its output who ran."""

    choice = Choice("openvino", True, "as set")

    def __init__(self, number: float) -> None:
        self.number = number

    def run(self, feeds: Mapping[str, Ids]) -> NDArray[np.float32]:
        return np.array([self.number], dtype=np.float32)


def test_both_engines_answer_alike_and_padding_changes_nothing() -> None:
    reference = OnnxSession(MODEL, 1, choose("onnxruntime"))
    floats = OpenVinoSession(MODEL, 1, Choice("openvino", False, "as set"))
    here = open_session(MODEL, "openvino", 1)
    wanted, plain, padded = reference.run(feeds(6, 40)), floats.run(feeds(6, 40)), floats.run(feeds(6, 40, padding=9))
    assert plain.shape == wanted.shape == (6, 1)
    # What int8 activations round away, and what bf16 does (8 bits of mantissa).
    assert np.abs(plain - wanted).max() < 0.6
    assert np.abs(plain - padded).max() < 1e-3
    assert np.abs(here.run(feeds(6, 40)) - plain).max() < 0.1


def test_an_answer_is_an_array_of_its_own() -> None:
    session = open_session(MODEL, "openvino", 1)
    first = session.run(feeds(2, 20))
    kept = first.copy()
    session.run(feeds(2, 30))
    assert np.array_equal(first, kept)


def test_widths_go_up_in_steps_and_what_is_added_is_padding() -> None:
    for width, wanted in ((1, 4), (32, 32), (33, 40), (64, 64), (65, 72), (96, 96), (97, 104), (129, 144)):
        found = padded(np.ones((2, width), dtype=np.int64))
        assert found.shape == (2, wanted)
        assert found.sum() == 2 * width


def test_small_passes_go_to_the_first_session() -> None:
    both = BySize(Named(1), Named(2))
    assert both.choice == Named.choice
    assert both.run(feeds(1, SMALL_PASS)) == 1
    assert both.run(feeds(1, SMALL_PASS + 1)) == 2
    assert both.run(feeds(4, SMALL_PASS // 2)) == 2


def test_short_rows_share_a_pass_and_long_ones_have_their_own() -> None:
    assert passes([10, 20, 20, 21, 64, 65, 30, 34]) == [(0, 3), (3, 4), (4, 5), (5, 6), (6, 7), (7, 8)]
    assert passes([SMALL_PASS // 4] * 5) == [(0, 4), (4, 5)]
    assert passes([]) == []


def test_a_row_gives_the_same_whatever_it_was_batched_with() -> None:
    session = open_session(MODEL, "onnxruntime", 1)
    batch = feeds(6, 80)
    together = session.run(batch)
    alone = np.concatenate([session.run({name: ids[row : row + 1] for name, ids in batch.items()}) for row in range(6)])
    assert together.shape == (6, 1)
    assert np.array_equal(together, alone)
    assert np.array_equal(session.run(feeds(6, 80, padding=9)), together), "padding is not computed"


def test_what_is_asked_for_is_opened() -> None:
    assert isinstance(open_session(MODEL, "onnxruntime", 1), RowsApart)
    assert isinstance(open_session(MODEL, "openvino", 1), OpenVinoSession)
    assert isinstance(open_session(MODEL, "onnxruntime", 1, small=lambda: MODEL), BySize)
    assert open_session(MODEL, "auto", 1, small=lambda: MODEL).choice == choose("auto")


def test_the_graph_for_small_passes_is_asked_for_only_where_it_is_used() -> None:
    assert isinstance(open_session(MODEL, "openvino", 1, small=lambda: pytest.fail("nobody needs it")), OpenVinoSession)


def test_a_thread_that_compiled_still_takes_signals() -> None:
    """OpenVINO leaves the signal stack that it made behind, freed: the next signal ended the process."""
    before, caught = signal_stack.size(), list[int]()
    OpenVinoSession(MODEL, 1, choose("openvino")).run(feeds(3, 40))
    assert signal_stack.size() == before
    handler = signal.signal(signal.SIGUSR1, lambda number, _frame: caught.append(number))
    try:
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, handler)
    assert caught == [signal.SIGUSR1]
