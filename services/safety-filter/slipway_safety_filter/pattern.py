"""One pattern of a kind, and how a list of them is run over a text in linear time.

RE2 matches without backtracking, so no text can make it slow. `needs` names cheap facts without which a pattern cannot match: most texts skip most
patterns. It refuses to know which kinds there are.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import re2

from slipway_safety_filter.spans import MAX_MATCH_CHARS, Span

CONTEXT_CHARS = 48
"""How far before a match its context words may stand. Only text before a match counts, so that a verdict never waits for what follows it."""


def linear(expression: str) -> Any:
    """`expression` as a compiled RE2 program, quiet about its own memory: a program too large for the cache still runs in linear time."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 16 << 20
    return re2.compile(expression, options)


_DIGIT = re2.compile(r"\d")
_SEPARATORS = str.maketrans("", "", " \u00a0.-/()+\t\n")


def bare(text: str) -> str:
    """`text` without the separators that people put between digits."""
    return text.translate(_SEPARATORS)


def ascii_digits(text: str) -> bool:
    """Only the digits 0-9, at least one."""
    return text.isascii() and text.isdigit()


@dataclass(frozen=True)
class Pattern:
    """`expression` (RE2 syntax; group 1, if there is one, is the span). `accept` judges the match without separators (as it stands, where `raw`);
    `locate` finds what is of the kind in or from a match, for kinds whose groups may touch other numbers.

    `score` holds where the match stands alone, `near` where one of the `context` words stands before it. 0 means: only with context.
    """

    category: str
    rule: str
    expression: str
    score: float
    needs: tuple[str, ...] = ()
    digits: int = 0
    accept: Callable[[str], bool] | None = None
    raw: bool = False
    locate: Callable[[str, int, int], Iterable[tuple[int, int]]] | None = None
    context: str = ""
    near: float = 0.0
    ignore_case: bool = False
    compiled: Any = field(init=False, repr=False, compare=False)
    context_compiled: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "compiled", linear(f"(?i){self.expression}" if self.ignore_case else self.expression))
        context = linear(rf"(?i)(?:\b|_)(?:{self.context})(?:\b|_|s\b)") if self.context else None
        object.__setattr__(self, "context_compiled", context)

    def find(self, text: str, lowered: str, digit_count: int) -> Iterable[Span]:
        """Every accepted match in `text`; `lowered` and `digit_count` are facts about it, made once for all patterns."""
        if digit_count < self.digits or (self.needs and not any(need in lowered for need in self.needs)):
            return
        for match in self.compiled.finditer(text):
            for start, end in self._bounds(match, text):
                score = self.near if self.context_compiled is not None and self._near(text, start) else self.score
                if score > 0:
                    yield Span(self.category, self.rule, start, end, score)

    def _bounds(self, match: Any, text: str) -> Iterable[tuple[int, int]]:
        group = 1 if self.compiled.groups else 0
        start, end = match.span(group)
        if self.locate is not None:
            return self.locate(text, start, end)
        value = match.group(group)
        if not 0 < end - start <= MAX_MATCH_CHARS or (self.accept is not None and not self.accept(value if self.raw else bare(value))):
            return ()
        return ((start, end),)

    def _near(self, text: str, start: int) -> bool:
        return self.context_compiled.search(text[max(0, start - CONTEXT_CHARS) : start]) is not None


def find_all(patterns: Sequence[Pattern], text: str) -> list[Span]:
    """Every match of every pattern, overlapping ones included."""
    lowered = text.lower()
    digit_count = len(_DIGIT.findall(text)) if any(d in text for d in "0123456789") else 0
    return [span for pattern in patterns for span in pattern.find(text, lowered, digit_count)]
