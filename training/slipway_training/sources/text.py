"""Raw text to clean text, sentences and chunks of the size that a retriever returns.

It knows HTML entities, the factbook's stray tags, and where English sentences end. It refuses to know any one source.
"""

import html
import re
from collections.abc import Iterable

_TAG = re.compile(r"<[^>]{1,200}>")
_BREAK = re.compile(r"<\s*(?:br|p|/p|li|ul|div)[^>]*>", re.IGNORECASE)
_SPACE = re.compile(r"\s+")
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"”)]?\s+(?=[A-Z0-9“\"(])")
_ABBREVIATION = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|St|No|vs|etc|e\.g|i\.e|cf|Fig|U\.S|U\.K|Jr|Sr|Gen|Gov|Sen|[A-Z])\.)$")


def plain(text: str) -> str:
    """`text` without markup: breaks become `; `, entities become characters, blanks collapse."""
    text = _BREAK.sub("; ", text)
    text = html.unescape(_TAG.sub("", text)).replace("\xa0", " ")
    text = _SPACE.sub(" ", text)
    return re.sub(r"(?:\s*;\s*)+", "; ", text).strip(" ;")


def sentences(text: str) -> list[str]:
    """The sentences of one paragraph; an abbreviation does not end one."""
    out: list[str] = []
    for piece in _SENTENCE_END.split(text):
        if out and _ABBREVIATION.search(out[-1]):
            out[-1] = f"{out[-1]} {piece}"
        elif piece.strip():
            out.append(piece.strip())
    return out


def chunks(pieces: Iterable[str], low: int = 40, high: int = 120) -> list[list[str]]:
    """Consecutive `pieces` (sentences, lines) in groups of `low` to `high` words; a piece longer than `high` stands alone or is left out.

    40-120 words is what a splitter by structure makes of Markdown sections; a last group below `low` is kept when nothing stands before it.
    """
    out: list[list[str]] = []
    group: list[str] = []
    size = 0
    for piece in pieces:
        words = len(piece.split())
        if words > high:
            continue
        if size and size + words > high:
            out.append(group)
            group, size = [], 0
        group.append(piece)
        size += words
        if size >= low and size + 25 > high:
            out.append(group)
            group, size = [], 0
    if group and (size >= low or not out):
        out.append(group)
    return out
