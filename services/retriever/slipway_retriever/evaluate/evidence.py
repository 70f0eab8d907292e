"""Questions with and without an answer in front of them: each query once with what search found, once with the relevant documents taken away.

A miss like this is the hard kind: what is left is what search thinks nearest. Questions of another set are the easy kind. It refuses to know how evidence is computed.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from slipway_retriever.evaluate.ranking import Corpus

DEPTHS = (6, 12, 20)
"""How many passages are shown: what a caller asks for varies, and evidence has to mean the same."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One query with the passages shown for it; `relevant` are the places of those that answer, `scores` what hybrid search gave each."""

    test: str
    query: str
    documents: tuple[str, ...]
    relevant: tuple[int, ...]
    scores: tuple[float, ...]

    @property
    def answerable(self) -> bool:
        """Whether one of the documents answers."""
        return bool(self.relevant)

    def row(self) -> dict[str, str | list[str] | list[int] | list[float] | bool]:
        """As JSON."""
        return {
            "set": self.test, "query": self.query, "documents": list(self.documents), "answerable": self.answerable, "relevant": list(self.relevant),
            "scores": list(self.scores),
        }  # fmt: skip


def pairs(corpus: Corpus, strangers: Sequence[str]) -> list[Pair]:
    """Two lists per query, of 6, 12 or 20 passages in turn; and one for each of `strangers`, questions that this corpus does not answer.

    A query whose document is not found gives only the unanswerable list.
    """
    out: list[Pair] = []
    for place, (query, text) in enumerate(corpus.test.queries.items()):
        depth, relevant = DEPTHS[place % len(DEPTHS)], corpus.test.relevant[query]
        ranked = corpus.scored(text).blended
        missed = [(number, score) for number, score in ranked if corpus.test.corpus[number].id not in relevant][:depth]
        if any(corpus.test.corpus[number].id in relevant for number, _ in ranked[:depth]):
            out.append(_pair(corpus, text, ranked[:depth], relevant))
        out.append(_pair(corpus, text, missed, ()))
    for place, text in enumerate(strangers):
        out.append(_pair(corpus, text, corpus.scored(text).blended[: DEPTHS[place % len(DEPTHS)]], ()))
    return out


def _pair(corpus: Corpus, query: str, ranked: Sequence[tuple[int, float]], relevant: Collection[str]) -> Pair:
    places = tuple(place for place, (number, _) in enumerate(ranked) if corpus.test.corpus[number].id in relevant)
    scores = tuple(round(min(1.0, max(0.0, score)), 6) for _, score in ranked)
    return Pair(corpus.test.name, query, tuple(corpus.text(number) for number, _ in ranked), places, scores)
