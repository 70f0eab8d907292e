"""How an answer and its sources look on a terminal."""

import io
from typing import Any

from rich.console import Console
from slipway_cli import answers


def shown(*annotations: dict[str, Any]) -> str:
    out = io.StringIO()
    answers.show_sources(answers.Answer(annotations=list(annotations)), Console(file=out, width=300))
    return out.getvalue()


def test_each_cited_passage_is_shown_once_with_its_file() -> None:
    note = {"type": "file_citation", "number": 2, "filename": "guide.md", "quote": "The edge\nlistens."}
    text = shown(note, note)
    assert text.splitlines() == ["  [2] guide.md The edge listens."]


def test_markup_in_a_document_is_text_and_long_quotes_are_cut() -> None:
    text = shown({"type": "file_citation", "number": 1, "filename": "[red]x", "quote": "[bold]" + "y" * 500})
    assert "[red]x" in text
    assert "[bold]y" in text
    assert "…" in text


def test_an_abstention_and_a_fallback_say_so() -> None:
    assert shown({"type": "abstention", "reason": "thin_evidence"}) == "  (no answer)\n"
    assert shown({"type": "fallback", "reason": "generator_down"}) == "  (quoted from the passages: the generator is down)\n"
    assert shown({"type": "something new"}) == ""
