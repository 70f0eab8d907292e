from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slipway_training.data.document import Document
from slipway_training.data.tokens import Rows, TokenSpool
from tokenizers import Tokenizer

END = 1


def spool(folder: Path, tokenizer: Tokenizer, texts: list[str]) -> TokenSpool:
    made = TokenSpool(folder, "s")
    made.write([Document(t, "s", i) for i, t in enumerate(texts)], tokenizer, END, "stamp", lambda _n: None)
    return made


def test_every_document_ends_with_the_end_token_and_text_cannot_spell_one(tmp_path: Path, tokenizer: Tokenizer) -> None:
    texts = ["the old gate", "it says <|end|> and <|user|> here", "x" * 300]
    made = spool(tmp_path, tokenizer, texts)
    (rows,) = made.stages([0], 8)
    assert rows.documents == 3 and rows.tokens == made.tokens == int(made.lengths().sum())
    ids = np.fromfile(tmp_path / "s.ids", dtype="<u4")
    assert (ids == END).sum() == 3 and np.flatnonzero(ids == END).tolist() == (np.cumsum(made.lengths()) - 1).tolist()
    assert tokenizer.decode(ids[made.lengths()[0] : -1].tolist()).startswith("it says <|end|> and <|user|> here")


def test_it_counts_only_once_it_is_whole(tmp_path: Path, tokenizer: Tokenizer) -> None:
    made = spool(tmp_path, tokenizer, ["one"])
    assert made.made_from("stamp") and not made.made_from("other")
    (tmp_path / "s.json").unlink()
    assert not made.made_from("stamp")


def test_stages_take_documents_by_length_and_none_twice(tmp_path: Path, tokenizer: Tokenizer) -> None:
    made = spool(tmp_path, tokenizer, ["gate " * n for n in (1, 30, 3, 200, 8, 60)])
    lengths = made.lengths()
    short, middle, long = made.stages([10, 50, 0], 4)
    assert short.tokens == lengths[lengths <= 10].sum()
    assert middle.tokens == lengths[(lengths > 10) & (lengths <= 50)].sum()
    assert long.tokens == lengths[lengths > 50].sum()
    assert short.documents + middle.documents + long.documents == 6


@settings(max_examples=200, deadline=None)
@given(lengths=st.lists(st.integers(1, 30), min_size=1, max_size=30), context=st.integers(2, 20))
def test_rows_are_the_stream_cut_with_one_shared_id(lengths: list[int], context: int) -> None:
    """Against the plain construction: join everything, cut by hand."""
    ids = np.arange(1000, 1000 + sum(lengths) + 50, dtype="<u4")
    gaps = np.array([i % 3 for i in range(len(lengths))])
    begins = np.cumsum([0, *lengths[:-1]]) + np.cumsum(gaps)
    ids = np.arange(1000, 1000 + int(begins[-1]) + lengths[-1], dtype="<u4")
    stream = np.concatenate([ids[b : b + n] for b, n in zip(begins, lengths, strict=True)])
    edges = set(np.cumsum([0, *lengths])[:-1].tolist())
    rows = Rows(ids, begins, np.array(lengths), context)
    assert len(rows) == max(0, (len(stream) - 1) // context)
    for i, (row, starts) in enumerate(rows.all()):
        assert row.tolist() == stream[i * context : (i + 1) * context + 1].tolist()
        assert starts == (0, *(p for p in range(1, context) if i * context + p in edges))


def test_nothing_gives_no_rows(tmp_path: Path, tokenizer: Tokenizer) -> None:
    made = spool(tmp_path, tokenizer, [])
    assert [len(r) for r in made.stages([5, 0], 8)] == [0, 0]
    with pytest.raises(IndexError):
        made.stages([0], 8)[0].row(0)
