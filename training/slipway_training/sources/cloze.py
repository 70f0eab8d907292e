"""Questions made from plain sentences: the answer is taken out, a question word is put in front, part of the rest is dropped.

After the noisy-cloze form of Lewis et al. 2019 (Unsupervised Question Answering by Cloze Translation, arXiv 1906.04980), with types by regular
expression instead of a tagger. It knows English question words. It refuses to know where the sentences come from.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from slipway_training.rows import Ask, Page, Passage, usable
from slipway_training.sources.text import chunks, sentences

SOURCE = "openstax_text"

_MONTH = "January|February|March|April|May|June|July|August|September|October|November|December"
_KINDS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("when", re.compile(rf"\b((?:\d{{1,2}} )?(?:{_MONTH})(?: \d{{1,2}},)? \d{{4}}|(?:1[0-9]|20)\d{{2}}s?)\b")),
    (
        "how many",
        re.compile(r"(?<!\w)(\$?\d[\d,.]*(?<=\d)(?: (?:percent|million|billion|thousand|hundred|years|days|hours|minutes|degrees))?%?)"),
    ),
    ("who", re.compile(r"\b((?:[A-Z][a-z]+ ){1,3}[A-Z][a-zé]+)\b")),
    ("quote", re.compile(r"[“\"]([^“”\"]{4,60})[”\"]")),
    ("what", re.compile(r"\b(?:called|named) ((?:the |an? )?[a-z]+(?: [a-z]+)?)")),
    ("what", re.compile(r"\b(?:of|by|in|to|for|from|with) ((?:the|an?) [a-z]+ (?:[a-z]+ )?[a-z]{4,})[,.;]")),
    ("why", re.compile(r"\bbecause ([^,.;]{12,70})[,.;]")),
)
_WH: dict[str, tuple[str, ...]] = {
    "when": ("When", "In what year", "In which year", "What year", "When was it that"),
    "how many": ("How many", "How much", "What number", "What percentage", "How large"),
    "who": ("Who", "What", "Which", "Where", "What is the name of"),
    "quote": ("What", "Which words", "What is"),
    "what": ("What", "Which", "What is"),
    "why": ("Why", "For what reason", "Why is it that"),
}
_LIGHT = frozenset(
    [
        "the",
        "a",
        "an",
        "of",
        "in",
        "to",
        "and",
        "that",
        "which",
        "is",
        "was",
        "were",
        "are",
        "by",
        "for",
        "on",
        "with",
        "as",
        "its",
        "their",
        "this",
        "these",
        "those",
        "also",
        "very",
        "more",
        "most",
        "then",
        "than",
    ]
)


@dataclass(frozen=True, slots=True)
class Span:
    """An answer candidate in a sentence."""

    kind: str
    start: int
    end: int


def cloze_asks(rng: Random, text: str, count: int) -> list[Ask]:
    """Up to `count` questions over the sentences of `text`; an answer that stands twice in the text is not asked for."""
    asks: list[Ask] = []
    for sentence in rng.sample(parts := sentences(text), k=len(parts)):
        if len(asks) >= count:
            break
        spans = [s for s in _spans(sentence) if text.count(sentence[s.start : s.end]) == 1]
        if 6 <= len(sentence.split()) <= 45 and spans:
            span = rng.choice(spans)
            asks.append(Ask(_question(rng, sentence, span), sentence[span.start : span.end].strip()))
    return asks


def _spans(sentence: str) -> list[Span]:
    return [Span(kind, *m.span(1)) for kind, pattern in _KINDS for m in pattern.finditer(sentence) if m.end(1) - m.start(1) > 1]


def _question(rng: Random, sentence: str, span: Span) -> str:
    """The words around the answer, fewer with distance, behind a question word."""
    before, after = sentence[: span.start].split(), sentence[span.end :].rstrip(".!?").split()
    room = rng.randint(5, 14)
    left = rng.randint(room // 3, room)
    before, after = before[-left:], after[: max(2, room - min(left, len(before)))]
    pieces = [before, after] if rng.random() < 0.65 else [after, before]
    words = [w.strip(',;:()“”"') for piece in pieces for w in piece]
    kept = [w for w in words if w and (w.lower() not in _LIGHT or rng.random() < 0.6) and rng.random() < 0.92]
    if kept and kept[0][1:].islower():
        kept[0] = kept[0].lower()
    return f"{rng.choice(_WH[span.kind])} {' '.join(kept)}?"


def prose_pages(rng: Random, text: str, source: str = SOURCE) -> Iterator[Page]:
    """Pages of eight neighbouring passages of a book, each with up to three cloze questions."""
    for module in text.split("\n# "):
        paragraphs = [p.strip() for p in module.split("\n") if len(p.split()) >= 25]
        pieces = [" ".join(group) for p in paragraphs for group in chunks(sentences(p), low=30, high=rng.choice((60, 90, 120)))]
        for start in range(0, len(pieces) - 3, 8):
            yield Page(source, usable([Passage(piece, tuple(cloze_asks(rng, piece, 3))) for piece in pieces[start : start + 8]]))


def read_books(folder: Path) -> list[str]:
    """The textbooks of `folder` as plain text, in name order."""
    return [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.txt")) if path.name != "SOURCE.txt"]
