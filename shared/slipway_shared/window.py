"""The stretch of a long passage that is worth reading: where the query's words stand closest together.

A cross-encoder's time grows with every token, and its input is cut anyway; a cut at the end loses answers that stand late. It knows words, their weight and an
estimate of their tokens. It refuses to know the tokenizer and the model. The reranker reads such stretches, and is trained on them.
"""

import functools
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from slipway_shared.terms import terms

_PIECE = re.compile(r"\w+|[^\w\s]")
LETTERS_PER_TOKEN = 6
"""A word has a token for every so many letters. On English passages the estimate is a seventh above WordPiece's count at the median, and below it on one in twenty."""
TITLE_TOKENS = 24
"""A first line of at most so many estimated tokens is taken for a title, which stays."""


def rarity(query: Sequence[str], documents: Sequence[set[str]]) -> dict[str, float]:
    """How much each query term tells, from its document frequency among the given passages (BM25's idf, Robertson and Zaragoza 2009), scaled to at most 1.

    All passages were found for this query, so a term that stands in each of them still keeps a third of its weight; one that stands in none
    weighs most, because an unanswerable question usually names something that is missing.
    """
    count = len(documents)
    out: dict[str, float] = {}
    for term in dict.fromkeys(query):
        held = sum(term in document for document in documents)
        idf = math.log(1 + (count - held + 0.5) / (held + 0.5)) / math.log(1 + (count + 0.5) / 0.5)
        out[term] = 1 / 3 + 2 / 3 * idf
    return out


def estimated_tokens(text: str) -> int:
    """About how many word pieces `text` has."""
    return sum(_cost(piece) for piece in _PIECE.findall(text))


def best_window(text: str, weight: Mapping[str, float], tokens: int) -> str:
    """`text`, or of a longer one its title line and the stretch of about `tokens` tokens in all that holds the most weight of distinct query terms.

    `weight` is by stemmed term (`rarity`). Among equally good stretches it is the middle one, so that words stand before and behind what was found;
    without any query term it is the beginning.
    """
    if len(text) <= 2 * tokens or estimated_tokens(text) <= tokens:
        return text
    title, break_, body = text.partition("\n")
    if not break_ or estimated_tokens(title) > min(TITLE_TOKENS, tokens // 2):
        title, body = "", text
    start, end = _span(body, weight, tokens - estimated_tokens(title))
    return f"{title}\n{body[start:end]}" if title else body[start:end]


def _span(text: str, weight: Mapping[str, float], tokens: int) -> tuple[int, int]:
    """Character offsets of the best stretch: one pass, two ends."""
    pieces = [(match.start(), match.end(), _cost(match.group()), _term(match.group(), weight)) for match in _PIECE.finditer(text)]
    inside: Counter[str] = Counter()
    held = best = 0.0
    size = left = 0
    starts = [(0, 0)]
    for right, (_, _, cost, term) in enumerate(pieces):
        size += cost
        if term:
            inside[term] += 1
            held += weight[term] if inside[term] == 1 else 0.0
        while size > tokens and left < right:
            size -= pieces[left][2]
            if gone := pieces[left][3]:
                inside[gone] -= 1
                held -= weight[gone] if inside[gone] == 0 else 0.0
            left += 1
        if held > best + 1e-9:
            best, starts = held, [(left, right)]
        elif held > best - 1e-9 and (left, right) != starts[-1]:
            starts.append((left, right))
    first, last = starts[len(starts) // 2] if best > 0 else (0, _fitting(pieces, tokens))
    return pieces[first][0], pieces[last][1]


def _fitting(pieces: list[tuple[int, int, int, str | None]], tokens: int) -> int:
    """The last piece that fits from the beginning."""
    total = 0
    for place, (_, _, cost, _) in enumerate(pieces):
        total += cost
        if total > tokens:
            return max(0, place - 1)
    return len(pieces) - 1


def _term(word: str, weight: Mapping[str, float]) -> str | None:
    """The query term that `word` is, if any."""
    found = _stemmed(word)
    return found if found in weight else None


@functools.lru_cache(maxsize=1 << 15)
def _stemmed(word: str) -> str | None:
    found = terms(word)
    return found[0] if found else None


def _cost(piece: str) -> int:
    return 1 + (len(piece) - 1) // LETTERS_PER_TOKEN
