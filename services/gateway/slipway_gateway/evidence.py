"""What was found for a question before anything is generated, and how an answer points back to it.

It knows passages, their evidence score, and OpenAI's `file_citation` annotations. It refuses to call anybody.
"""

from dataclasses import dataclass, replace
from typing import Any

from slipway_shared.contracts import Passage, RerankResponse
from slipway_shared.grounding import citations

Annotation = dict[str, Any]
"""One entry of `message.annotations`: OpenAI leaves the list open, and ours adds `abstention`, `fallback`, `ungrounded` and `safety`."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Passages best first. `score` in [0, 1]: how likely they hold an answer; `strong`: so likely that
    a small reader which finds none is not believed. `least_support`: under this share of the best sentence's
    overlap with the question a small reader's quote is not believed either. `missing` names why there are no passages although they were wanted."""

    wanted: bool = False
    passages: tuple[Passage, ...] = ()
    score: float = 0.0
    strong: bool = False
    least_support: float = 0.0
    missing: str | None = None

    @property
    def texts(self) -> list[str]:
        """The passages' texts in order; passage n is number n in prompts and citations, counted from 1."""
        return [passage.text for passage in self.passages]

    @property
    def titles(self) -> list[str]:
        """The headings above the passages, in the same order; empty where there are none."""
        return [passage.title or "" for passage in self.passages]

    @property
    def shown(self) -> list[str]:
        """What a model is shown of the passages: often only the heading says whom or what a text is about."""
        return [titled(passage) for passage in self.passages]

    def thin(self, least: float) -> str | None:
        """Why the model should not even be asked, or None."""
        if not self.wanted or self.missing:
            return None
        if not self.passages:
            return "no_passages"
        return "thin_evidence" if self.score < least else None

    def first(self, count: int) -> "Evidence":
        """The best `count` passages alone."""
        return replace(self, passages=self.passages[:count])


NOTHING = Evidence()


def titled(passage: Passage) -> str:
    """A passage with the headings above it, which belong to it: so it is embedded, reranked, checked and shown."""
    return f"{passage.title}\n{passage.text}" if passage.title else passage.text


def in_search_order(passages: list[Passage], top_k: int) -> Evidence:
    """Evidence by the retriever's own scores."""
    best = passages[:top_k]
    return Evidence(wanted=True, passages=tuple(best), score=max((p.score for p in best), default=0.0))


def in_rerank_order(passages: list[Passage], ranked: RerankResponse, top_k: int) -> Evidence:
    """Evidence by the reranker's scores."""
    ordered = sorted(ranked.results, key=lambda result: -result.relevance_score)[:top_k]
    best = tuple(passages[r.index].model_copy(update={"score": r.relevance_score}) for r in ordered)
    return Evidence(wanted=True, passages=best, score=ranked.evidence)


def cite(answer: str, evidence: Evidence) -> list[Annotation]:
    """A `file_citation` for every mark in `answer`. `index` is the mark's offset in characters; `quote` is the passage."""
    out: list[Annotation] = []
    for mark in citations(answer, len(evidence.passages)):
        passage = evidence.passages[mark.number - 1]
        out.append({
            "type": "file_citation",
            "index": mark.index,
            "number": mark.number,
            "file_id": passage.file_id,
            "filename": passage.filename,
            "passage_id": passage.id,
            "vector_store_id": passage.vector_store_id,
            "quote": passage.text,
            "start": passage.start,
            "end": passage.end,
            "score": round(passage.score, 4),
        })  # fmt: skip
    return out
