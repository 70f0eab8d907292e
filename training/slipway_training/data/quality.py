"""Rules that tell prose from what only looks like text: menus, tables, lists of words, repeated boilerplate.

It knows the published rules and counts; the limits are the mixture's. It refuses to judge what a text says.

Sources: Gopher's quality and repetition filters (Rae et al. 2021, arXiv 2112.11446, section A.1.1 and table A1); placeholder and script phrases from C4
(Raffel et al. 2020, arXiv 1910.10683, section 2.2). Shares of characters are of the text without its white space, as the words are counted.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from slipway_training.data.mixture import Quality

STOP_WORDS = frozenset({"the", "be", "to", "of", "and", "that", "have", "with"})
"""Gopher's eight; a text in English holds at least two of them."""
BULLETS = ("•", "‣", "▪", "◦", "●", "-", "*", "–")
ELLIPSES = ("...", "…")
_PARAGRAPHS = re.compile(r"\n{2,}")
_EDGES = ".,;:!?\"'()[]{}<>“”‘’"


def refuse(text: str, limits: Quality, english: bool = True) -> str | None:
    """The name of the first rule that `text` breaks, or None. `english` turns on the stop word rule."""
    words = text.split()
    if not words:
        return "min_words"
    for reason in (*_by_words(text, words, limits, english), *_by_lines(text, limits), *_by_ngrams(words, limits)):
        if reason:
            return reason
    return None


def _by_words(text: str, words: Sequence[str], limits: Quality, english: bool) -> Iterator[str | None]:
    count = len(words)
    yield "min_words" if count < limits.min_words else None
    yield "max_words" if count > limits.max_words else None
    mean = sum(map(len, words)) / count
    yield None if limits.mean_word_length[0] <= mean <= limits.mean_word_length[1] else "mean_word_length"
    symbols = max(text.count("#"), sum(text.count(e) for e in ELLIPSES))
    yield "symbols" if symbols / count > limits.max_symbol_share else None
    alphabetic = sum(w.isalpha() or any(map(str.isalpha, w)) for w in words)
    yield "alphabetic_words" if alphabetic / count < limits.min_alphabetic_words else None
    if english:
        present = STOP_WORDS.intersection(words)
        if len(present) < limits.min_stop_words:
            present = STOP_WORDS & {w.strip(_EDGES).lower() for w in words}
        yield "stop_words" if len(present) < limits.min_stop_words else None
    lower = text.lower()
    yield "phrase" if any(p in lower for p in limits.refuse_phrases) else None


def _by_lines(text: str, limits: Quality) -> Iterator[str | None]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    yield "bullet_lines" if sum(line.startswith(BULLETS) for line in lines) / len(lines) > limits.max_bullet_lines else None
    yield "ellipsis_lines" if sum(line.endswith(ELLIPSES) for line in lines) / len(lines) > limits.max_ellipsis_lines else None
    count, characters = _repeated(lines)
    yield "duplicate_lines" if count > limits.max_duplicate_lines else None
    yield "duplicate_line_characters" if characters > limits.max_duplicate_line_characters else None
    count, characters = _repeated([p.strip() for p in _PARAGRAPHS.split(text) if p.strip()])
    yield "duplicate_paragraphs" if count > limits.max_duplicate_paragraphs else None
    yield "duplicate_paragraph_characters" if characters > limits.max_duplicate_paragraph_characters else None


def _by_ngrams(words: Sequence[str], limits: Quality) -> Iterator[str | None]:
    characters = sum(map(len, words))
    for n, limit in sorted(limits.max_top_ngram.items()):
        yield f"top_{n}_gram" if _top(words, n) / characters > limit else None
    for n, limit in sorted(limits.max_duplicate_ngrams.items()):
        again = _again(words, n)
        if not again:
            return  # a run of words that occurs again holds shorter ones that do: there is no longer one either
        yield f"duplicate_{n}_grams" if again / characters > limit else None


def _repeated(parts: Sequence[str]) -> tuple[float, float]:
    """The shares of parts, and of their characters, that stood there before."""
    seen: set[str] = set()
    count = characters = 0
    for part in parts:
        if part in seen:
            count += 1
            characters += len(part)
        seen.add(part)
    return count / len(parts), characters / sum(map(len, parts))


def _top(words: Sequence[str], n: int) -> int:
    """Characters in all places of the most frequent n-gram; 0 when none occurs twice."""
    if len(words) < n:
        return 0
    grams = Counter(zip(*(words[i:] for i in range(n)), strict=False))
    most = max(grams.values())
    return 0 if most == 1 else most * max(sum(map(len, g)) for g, c in grams.items() if c == most)


def _again(words: Sequence[str], n: int) -> int:
    """Characters in n-grams that occurred before, none counted twice."""
    grams = list(zip(*(words[i:] for i in range(n)), strict=False))
    seen: set[tuple[str, ...]] = set(grams)
    if len(seen) == len(grams):
        return 0
    seen.clear()
    characters = i = 0
    while i < len(grams):
        gram = grams[i]
        if gram in seen:
            characters += sum(map(len, gram))
            i += n
        else:
            seen.add(gram)
            i += 1
    return characters
