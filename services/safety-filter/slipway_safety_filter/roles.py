"""Who wrote which part of a prompt: the application's developer (system messages), or whoever asks.

It knows how a text is read without some of its ranges, and where what is found stands in the whole. It refuses to know detectors and policies.
"""

import bisect
from collections.abc import Sequence

from slipway_safety_filter.spans import Span

SYSTEM = "system"
"""Ends the names of the policy's rows for system messages, and of findings in them: "injection.system"."""


class Asked:
    """`text` without the ordered ranges `system`; an offset into it can be traced back."""

    def __init__(self, text: str, system: Sequence[tuple[int, int]]) -> None:
        edges = [0, *(edge for one in system for edge in one), len(text)]
        kept = [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if a < b]
        self.text = "".join(text[a:b] for a, b in kept)
        self._there = [a for a, _ in kept]
        self._here = [0]
        for a, b in kept:
            self._here.append(self._here[-1] + b - a)

    def back(self, span: Span) -> Span:
        """`span` of this text in the whole text; one over a border covers what stands between. A hidden one, 0 to 0, stays it."""
        if span.end <= span.start:
            return span
        return Span(span.category, span.rule, self._origin(span.start), self._origin(span.end - 1) + 1, span.score)

    def _origin(self, place: int) -> int:
        part = bisect.bisect_right(self._here, place) - 1
        return self._there[part] + place - self._here[part]


def instructed(span: Span, start: int) -> Span:
    """`span` of the system message that begins at `start`, as a finding of its own category in the whole text."""
    moved = start if span.end > span.start else 0
    return Span(f"{span.category}.{SYSTEM}", span.rule, span.start + moved, span.end + moved, span.score)
