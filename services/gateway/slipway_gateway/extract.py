"""The answer that needs no model: the best sentences of the best passages, quoted and cited.

It knows words and sentences. It refuses to know where passages come from. A sentence is scored by the share of the question's words that it holds,
rare words weighing more (inverse frequency over the sentences at hand, Sparck Jones 1972), damped by its passage's rank.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from slipway_shared.grounding import CITATION, fence, normalise

MAX_SENTENCE = 400
RANK_DAMPING = 0.85
"""What a sentence of passage n+1 is worth against the same sentence in passage n."""

_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[\"'“(\[]?[A-Z0-9])|\n+")
_FUNCTION_WORDS = """
a an and are as at be by can do does did for from has have how i in is it its me my of on or our that the their them they this to was were what when
where which who whom whose why will with would you your about there many much
"""
_CODE_MARKS = frozenset('{}<>|=\\"$;')
_STOP = frozenset(_FUNCTION_WORDS.split())


@dataclass(frozen=True, slots=True)
class Quote:
    """One sentence and the number (from 1) of the passage that it stands in."""

    text: str
    number: int


def answer(question: str, passages: Sequence[str], titles: Sequence[str] = (), *, sentences: int = 2) -> str | None:
    """Up to `sentences` quotes as `"..." [n]`, best first; None when no sentence shares a word with the question. `titles`: see `best_sentences`."""
    quotes = best_sentences(question, passages, sentences, titles)
    return " ".join(f'"{quote.text}" [{quote.number}]' for quote in quotes) or None


def best_sentences(question: str, passages: Sequence[str], count: int, titles: Sequence[str] = ()) -> list[Quote]:
    """The quotes behind `answer`. A second one is only given when it is nearly as good as the first.

    A passage's title counts as said in each of its sentences, and is never quoted itself.
    """
    candidates = [Quote(text, n) for n, passage in enumerate(passages, start=1) for text in split(passage)]
    wanted = terms(question)
    if not candidates or not wanted:
        return []
    above = [terms(title) for title in titles] or [set[str]()] * len(passages)
    words = [terms(quote.text) | above[quote.number - 1] for quote in candidates]
    weight = _weights(wanted, words)
    total = sum(weight.values())
    scored = sorted(
        ((sum(weight[t] for t in wanted & own) / total * RANK_DAMPING ** (quote.number - 1), -i) for i, (quote, own) in enumerate(zip(candidates, words, strict=True))),
        reverse=True,
    )  # fmt: skip
    best = scored[0][0]
    chosen: list[Quote] = []
    for score, position in scored:
        quote = candidates[-position]
        if score <= 0 or score < 0.75 * best or len(chosen) == count:
            break
        if all(normalise(quote.text) != normalise(other.text) for other in chosen):
            chosen.append(quote)
    return chosen


def support(question: str, passages: Sequence[str], said: str) -> float:
    """How well the sentences that hold the quotes of `said` answer to `question`, against the best sentence there is: about 1 is as well, 0 not at all.

    A quote over more than one sentence is not judged, and counts as 1.
    """
    sentences = [(n, text) for n, passage in enumerate(passages, start=1) for text in split(passage, every=True)]
    wanted = terms(question)
    weight = _weights(wanted, [terms(text) for _, text in sentences])
    scores = [sum(weight[t] for t in wanted & terms(text)) for _, text in sentences]
    best = max(scores, default=0.0)
    if best <= 0:
        return 1.0
    out: list[float] = []
    for quote, number in statements(said):
        holding = [
            score for (n, text), score in zip(sentences, scores, strict=True) if n == number and f" {quote} " in f" {normalise(text)} "
        ]
        out.append(max(holding) / best if holding else 1.0)
    return min(out, default=1.0)


def statements(said: str) -> list[tuple[str, int]]:
    """(normalised words before a mark, the passage that it names)."""
    pieces = CITATION.split(said)
    found = [(normalise(words), int(number)) for words, number in zip(pieces[::2], pieces[1::2], strict=False)]
    return [(words, number) for words, number in found if words]


def split(passage: str, *, every: bool = False) -> list[str]:
    """The sentences of a passage that can be answers (or every one), each one line in which nothing looks like a citation mark."""
    pieces = (fence(piece) for piece in _SENTENCE.split(passage))
    return [piece[:MAX_SENTENCE].strip('" ') for piece in pieces if every or _tells(piece)]


def _tells(piece: str) -> bool:
    """Whether a piece can be an answer: words enough, no question, and not code or a table, whose marks stand closer than a sentence's."""
    marks = sum(piece.count(mark) for mark in _CODE_MARKS)
    return len(normalise(piece).split()) >= 3 and "?" not in piece and marks <= 0.06 * len(piece)


def terms(text: str) -> set[str]:
    """The words of `text` that carry meaning, with a plural's s removed."""
    return {word[:-1] if len(word) > 3 and word.endswith("s") else word for word in normalise(text).split() if word not in _STOP}


def _weights(wanted: set[str], sentences: list[set[str]]) -> dict[str, float]:
    frequency = Counter(term for own in sentences for term in own)
    return {term: math.log(1 + len(sentences) / (1 + frequency[term])) for term in wanted}
