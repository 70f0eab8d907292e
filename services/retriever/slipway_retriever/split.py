"""Sections to passages: by paragraph, then by sentence or line, then by word; never across a heading.

It knows estimated tokens and boundaries. It refuses to know formats and models: the estimate is close for English word pieces and safe for the rest.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from slipway_retriever.parse.document import Document, Section
from slipway_retriever.passage import Piece

_PARAGRAPH = re.compile(r"\n[ \t]*\n\s*")
_LINE = re.compile(r"\n")
_SENTENCE = re.compile(r"(?<=[.!?。！？])\s+|(?<=[.!?][\"'”’)\]])\s+|\n")
_WORD = re.compile(r"\S{1,40}\s*")
_TOKEN = re.compile(r"[^\W_]+|[^\w\s]|_", re.UNICODE)
CHARS_PER_PIECE = 6
"""English words of up to six letters are mostly one word piece; longer ones are cut about there."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the document's text and its estimated tokens."""

    start: int
    end: int
    tokens: int


def split(document: Document, *, tokens: int, overlap: int) -> list[Piece]:
    """Passages of at most `tokens` estimated tokens. Where a paragraph had to be cut, the next passage repeats up to `overlap` tokens of it."""
    return [piece for section in document.sections for piece in _section(document.text, section, tokens, overlap)]


def estimate(text: str) -> int:
    """About how many word pieces `text` has."""
    return sum(
        math.ceil(len(match.group()) / CHARS_PER_PIECE) if match.group().isascii() else len(match.group())
        for match in _TOKEN.finditer(text)
    )


def _section(text: str, section: Section, limit: int, overlap: int) -> Iterator[Piece]:
    open_: list[Span] = []
    for paragraph in _cut(text, section.start, section.end, _PARAGRAPH):
        if paragraph.tokens <= limit:
            if open_ and _total(open_) + paragraph.tokens > limit:
                yield _piece(text, section.title, open_)
                open_ = []
            open_.append(paragraph)
            continue
        if open_:
            yield _piece(text, section.title, open_)
        groups = list(_packed(list(_sentences(text, paragraph, section, limit)), limit, overlap))
        yield from (_piece(text, section.title, group) for group in groups[:-1])
        open_ = groups[-1]
    if open_:
        yield _piece(text, section.title, open_)


def _packed(spans: Sequence[Span], limit: int, overlap: int) -> Iterator[list[Span]]:
    """Consecutive spans up to the limit; each group but the first begins with the end of the one before it."""
    group: list[Span] = []
    for span in spans:
        if group and _total(group) + span.tokens > limit:
            yield group
            group = _tail(group, min(overlap, limit - span.tokens))
        group.append(span)
    if group:
        yield group


def _tail(group: Sequence[Span], budget: int) -> list[Span]:
    kept: list[Span] = []
    for span in reversed(group[1:]):
        if _total(kept) + span.tokens > budget:
            break
        kept.insert(0, span)
    return kept


def _sentences(text: str, paragraph: Span, section: Section, limit: int) -> Iterator[Span]:
    pattern = _SENTENCE if section.kind == "prose" else _LINE
    for span in _cut(text, paragraph.start, paragraph.end, pattern):
        if span.tokens <= limit:
            yield span
        else:
            yield from _words(text, span, limit)


def _words(text: str, span: Span, limit: int) -> Iterator[Span]:
    """A sentence longer than a passage, or text without spaces: cut at words, and inside words of more than 40 characters."""
    start, total = span.start, 0
    for match in _WORD.finditer(text, span.start, span.end):
        count = estimate(match.group())
        if total and total + count > limit // 2:
            yield Span(start, match.start(), total)
            start, total = match.start(), 0
        total += count
    if start < span.end:
        yield Span(start, span.end, total)


def _cut(text: str, start: int, end: int, pattern: re.Pattern[str]) -> Iterator[Span]:
    at = start
    for match in pattern.finditer(text, start, end):
        if match.start() > at:
            yield Span(at, match.start(), estimate(text[at : match.start()]))
        at = match.end()
    if at < end:
        yield Span(at, end, estimate(text[at:end]))


def _total(spans: Sequence[Span]) -> int:
    return sum(span.tokens for span in spans)


def _piece(text: str, title: str, spans: Sequence[Span]) -> Piece:
    start, end = spans[0].start, spans[-1].end
    body = text[start:end]
    start += len(body) - len(body.lstrip())
    body = body.strip()
    return Piece(title, body, start, start + len(body))
