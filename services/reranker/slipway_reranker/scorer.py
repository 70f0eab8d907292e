"""What a scorer is: relevance of each passage, and how likely the passages answer the query at all. It refuses to know HTTP and where passages come from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Scored:
    """`relevance[i]` belongs to document i; both kinds of numbers are in [0, 1]. `truncated` are the documents that were read only in part."""

    relevance: tuple[float, ...]
    evidence: float
    truncated: tuple[int, ...] = ()


class Scorer(Protocol):
    """Scores query-passage pairs. `score` runs in a worker thread, one call at a time."""

    @property
    def name(self) -> str:
        """What the answer names as its model."""
        ...

    def score(self, query: str, documents: Sequence[str], scores: Sequence[float] | None = None) -> Scored:
        """Relevance and evidence of `documents`, at least one of them, given in the first stage's order; `scores` are what it gave them, in [0, 1]."""
        ...

    def warm(self, seconds: float) -> None:
        """Do ahead, for about `seconds` at most, what the first calls would otherwise pay for."""
        ...


class ScorerMissing(Exception):
    """The configured scorer cannot be loaded; the message names the file and the cause."""
