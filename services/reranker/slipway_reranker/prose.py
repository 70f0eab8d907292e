"""Lists of prose are read in longer pairs than tables, programs and error messages, by a blend of their own.

Longer pairs bring what stands around the best stretch: in prose the sentence before it, in a table more cells. It knows what prose looks like and which of two scorers
reads a list. It refuses to know how they read.
"""

from collections.abc import Sequence
from statistics import median

from slipway_reranker.scorer import Scored, Scorer

LOOKED_AT, FIRST = 500, 10
"""Characters of a text, and passages of a list: about half a millisecond."""
QUESTION, PASSAGES = 0.75, 0.8
"""Least shares of plain words: of a question, and of the passage in the middle. Of the development sets' passages of prose 90 % have 0.91 and more, of tables and
programs none in 50 has more than 0.75; a traceback asked about has 0.56 (docs/retrieval.md)."""
EDGES = ".,;:?!()[]'\"“”‘’«»…"


def is_prose(query: str, documents: Sequence[str]) -> bool:
    """Whether a question in words is asked of passages most of which are words: letters, inner hyphens and apostrophes, with punctuation around them."""
    return words(query) >= QUESTION and median(map(words, documents[:FIRST])) >= PASSAGES


def words(text: str) -> float:
    """The share of plain words among what spaces separate, in [0, 1]; 1 where there is nothing."""
    parts = text[:LOOKED_AT].split()
    plain = sum(part.strip(EDGES).replace("-", "").replace("'", "").replace("’", "").isalpha() for part in parts)
    return plain / len(parts) if parts else 1.0


class ByKind:
    """Two scorers of one model: `prose` for lists that are, `other` for all else."""

    def __init__(self, prose: Scorer, other: Scorer) -> None:
        self._prose, self._other = prose, other

    @property
    def name(self) -> str:
        """See Scorer."""
        return self._other.name

    def score(self, query: str, documents: Sequence[str], scores: Sequence[float] | None = None) -> Scored:
        """See Scorer."""
        return (self._prose if is_prose(query, documents) else self._other).score(query, documents, scores)

    def warm(self, seconds: float) -> None:
        """See Scorer; prose first, which is asked about most."""
        self._prose.warm(seconds / 2)
        self._other.warm(seconds / 2)
