"""Passages: bounded, in order, on boundaries, never across headings, and nothing of the text is lost."""

import itertools
import re

from hypothesis import given
from hypothesis import strategies as st
from slipway_retriever.parse.document import Document, DocumentWriter, Section
from slipway_retriever.split import estimate, split


def prose(text: str) -> Document:
    return Document(text, (Section("", 0, len(text)),))


def test_paragraphs_that_fit_together_stay_together() -> None:
    pieces = split(prose("One two.\n\nThree four.\n\nFive."), tokens=32, overlap=0)
    assert [piece.text for piece in pieces] == ["One two.\n\nThree four.\n\nFive."]


def test_a_passage_never_crosses_a_heading() -> None:
    writer = DocumentWriter(1000)
    writer.heading(1, "A")
    writer.block("Short.")
    writer.heading(1, "B")
    writer.block("Also short.")
    assert [(p.title, p.text) for p in split(writer.document(), tokens=200, overlap=20)] == [("A", "Short."), ("B", "Also short.")]


def test_a_long_paragraph_is_cut_at_sentences_with_overlap() -> None:
    sentences = [f"Sentence number {i} tells of subject {i}." for i in range(30)]
    pieces = split(prose(" ".join(sentences)), tokens=40, overlap=12)
    for piece in pieces:
        assert piece.text.endswith(".")
        assert piece.text.startswith("Sentence")
        assert estimate(piece.text) <= 40
    for one, two in itertools.pairwise(pieces):
        assert two.start < one.end  # the last sentence is repeated


def test_a_quoted_end_of_a_sentence_keeps_its_mark() -> None:
    pieces = split(prose('He said "no." Then he left the room and went home again. ' * 8), tokens=32, overlap=0)
    assert any('"no."' in piece.text for piece in pieces)
    assert "".join(piece.text for piece in pieces).count('"') == 16


def test_text_without_any_boundary_is_cut_all_the_same() -> None:
    pieces = split(prose("x" * 100_000), tokens=64, overlap=8)
    assert max(len(piece.text) for piece in pieces) < 600
    assert sum(len(piece.text) for piece in pieces) >= 100_000


def test_a_hundred_thousand_tokens_on_one_line_are_cut_in_linear_time() -> None:
    pieces = split(prose("word " * 100_000), tokens=160, overlap=24)
    assert len(pieces) > 500


def test_table_rows_are_not_torn() -> None:
    rows = [f"name: N{i}; city: C{i}; size: {i}" for i in range(60)]
    text = "\n\n".join(rows)
    pieces = split(Document(text, (Section("", 0, len(text), "table"),)), tokens=48, overlap=8)
    assert [row for piece in pieces for row in piece.text.split("\n\n")] == rows


words = st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=12), max_size=60)


@given(words, st.integers(32, 200), st.integers(0, 16))
def test_offsets_are_right_and_no_character_is_lost(parts: list[str], tokens: int, overlap: int) -> None:
    text = " ".join(parts)
    pieces = split(prose(text), tokens=tokens, overlap=overlap)
    seen = set[int]()
    for piece in pieces:
        assert text[piece.start : piece.end] == piece.text
        seen.update(range(piece.start, piece.end))
    missed = "".join(c for i, c in enumerate(text) if i not in seen)
    assert re.fullmatch(r"\s*", missed)
