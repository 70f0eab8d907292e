"""A span of text that a detector found, and how overlapping ones are settled.

The leaf of this room: every detector speaks in spans. It refuses to know policies and actions.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MAX_MATCH_CHARS = 256
"""No detector that redacts or blocks by a span reports one longer than this in the text as it came. A window over a stream that begins this many
characters before the first character not yet released therefore holds every match that touches unreleased text."""


@dataclass(frozen=True, slots=True)
class Span:
    """`start` and `end` are character offsets into the text that was checked; `score` is in [0, 1]."""

    category: str
    rule: str
    start: int
    end: int
    score: float

    def moved(self, starts: Sequence[int], ends: Sequence[int]) -> "Span":
        """The same span in the text from which a view was made: `starts[i]`, `ends[i]` delimit what became the view's character i."""
        return Span(self.category, self.rule, starts[self.start], ends[self.end - 1], self.score)


def settle(spans: Iterable[Span]) -> list[Span]:
    """Of overlapping spans keep the surest, then the longest; the result is ordered and free of overlaps."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda s: (-s.score, s.start - s.end, s.start)):
        if span.end > span.start and all(span.end <= other.start or span.start >= other.end for other in kept):
            kept.append(span)
    return sorted(kept, key=lambda s: s.start)
