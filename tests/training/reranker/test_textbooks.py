"""Exercises of a book in plain text, and what of it becomes a passage."""

from pathlib import Path

from slipway_training.reranker import textbooks

WORDS = " ".join(["The heron stands in shallow water and waits for fish to come near."] * 3)
BOOK = f"""# Waders

{WORDS}

Critical Thinking Questions

Why does a heron stand so still?

Fish flee from what moves.

Name two waders and say where they live?

And what do they eat?

Herons and storks, in wetlands.

Review Questions

Which of these is a wader at all?

a heron by the river bank

stilt: a wader with very long legs
"""


def test_an_exercise_is_answered_by_the_block_below_it_however_short(tmp_path: Path) -> None:
    (tmp_path / "openstax_text").mkdir()
    (tmp_path / "openstax_text" / "birds.txt").write_text(BOOK, encoding="utf-8")
    [module] = textbooks.modules(tmp_path)
    found = {question: module.paragraphs[number] for question, [number] in module.exercises}
    assert found == {
        "Why does a heron stand so still?": "Fish flee from what moves.",
        "And what do they eat?": "Herons and storks, in wetlands.",
    }
    assert module.paragraphs[0] == WORDS
