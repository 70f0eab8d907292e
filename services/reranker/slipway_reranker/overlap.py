"""A weightless scorer: which of the query's content words a passage holds, how rare they are, and how close together they stand.

It knows terms and counts. It refuses to know meaning: a paraphrase scores low, which is why a cross-encoder can take its place.
"""

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass

from slipway_shared.terms import terms
from slipway_shared.window import rarity

from slipway_reranker.evidence import OVERLAP, Signals
from slipway_reranker.scorer import Scored

WINDOW_TERMS = 30
"""Stretch of a passage, in content words, inside which an answer usually stands: one or two sentences."""
MAX_QUERY_TERMS = 256
PRIOR, PRIOR_DECAY = 0.8, 5.0
"""What the first place given is worth beside a perfect match, and after how many places a third of it is left."""


@dataclass(frozen=True, slots=True)
class Match:
    """How one passage meets the query; every figure is in [0, 1] and weighted by the rarity of the words."""

    coverage: float
    window: float
    pairs: float

    @property
    def relevance(self) -> float:
        """One figure to sort by. The nearness of the words counts as much as their presence."""
        return 0.45 * self.coverage + 0.40 * self.window + 0.15 * self.pairs


NOTHING = Match(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Compared:
    """How each document meets the query, what evidence is computed from (None when they share no content word), what each of the query's terms weighs, and the
    documents' terms."""

    matches: tuple[Match, ...]
    words: Signals | None
    weight: dict[str, float]
    texts: tuple[list[str], ...]


class OverlapScorer:
    """The `overlap` scorer: no weights on disk, under a millisecond for twenty passages."""

    name = "overlap"

    def score(self, query: str, documents: Sequence[str], scores: Sequence[float] | None = None) -> Scored:
        """Relevance by `Match.relevance` and the order in which the documents were given, evidence by the calibrated signals; `scores` are not looked at.

        The given order is retrieval's own opinion, which sees meaning where this scorer sees words alone; without it, reranking made the order worse on
        two of three development sets (docs/retrieval.md). A query without content words keeps the given order and has no evidence.
        """
        matched, signals = measure(query, documents)
        relevance = tuple((r + PRIOR * math.exp(-i / PRIOR_DECAY)) / (1 + PRIOR) for i, r in enumerate(matched))
        return Scored(relevance, OVERLAP.chance(astuple(signals)) if signals else 0.0)

    def warm(self, seconds: float) -> None:
        """Nothing to do."""


def measure(query: str, documents: Sequence[str]) -> tuple[tuple[float, ...], Signals | None]:
    """The relevance of each document, and what evidence is computed from; None when they share no content word."""
    found = compare(query, documents)
    return tuple(m.relevance for m in found.matches), found.words


def compare(query: str, documents: Sequence[str]) -> Compared:
    """How the documents meet the query."""
    wanted = terms(query)[:MAX_QUERY_TERMS]
    texts = tuple(terms(document) for document in documents)
    if not any(set(wanted) & set(text) for text in texts):
        return Compared((NOTHING,) * len(documents), None, {}, texts)
    weight = rarity(wanted, [set(text) for text in texts])
    matches = tuple(match(wanted, text, weight) for text in texts)
    best = max(range(len(matches)), key=lambda i: matches[i].relevance)
    relevance = tuple(m.relevance for m in matches)
    held = set(texts[best])
    rarest = max(weight, key=lambda term: weight[term])
    anywhere = set().union(*texts)
    words = Signals(
        coverage=matches[best].coverage,
        window=matches[best].window,
        pairs=matches[best].pairs,
        rarest_held=float(rarest in held),
        anywhere=sum(w for term, w in weight.items() if term in anywhere) / sum(weight.values()),
        margin=relevance[best] - _median([r for i, r in enumerate(relevance) if i != best]),
        terms=min(1.0, len(weight) / 8),
    )
    return Compared(matches, words, weight, texts)


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2] if values else 0.0


def match(query: Sequence[str], document: Sequence[str], weight: dict[str, float]) -> Match:
    """How `document` (its terms in order) meets `query` (its terms in order)."""
    total = sum(weight.values())
    if not total or not document:
        return Match(0.0, 0.0, 0.0)
    held = set(document)
    coverage = sum(w for term, w in weight.items() if term in held) / total
    return Match(coverage, _best_window(document, weight) / total, _adjacent(query, document))


def _best_window(document: Sequence[str], weight: dict[str, float]) -> float:
    """The largest weight of distinct query terms inside WINDOW_TERMS consecutive terms: one pass, two ends."""
    inside: Counter[str] = Counter()
    current = best = 0.0
    for i, term in enumerate(document):
        if term in weight:
            inside[term] += 1
            current += weight[term] if inside[term] == 1 else 0.0
            best = max(best, current)
        if i >= WINDOW_TERMS - 1 and (left := document[i - WINDOW_TERMS + 1]) in weight:
            inside[left] -= 1
            current -= weight[left] if inside[left] == 0 else 0.0
    return best


def _adjacent(query: Sequence[str], document: Sequence[str]) -> float:
    """The share of the query's neighbouring term pairs that are neighbours in the passage too."""
    pairs = set(itertools.pairwise(query))
    if not pairs:
        return 0.0
    return len(pairs & set(itertools.pairwise(document))) / len(pairs)
