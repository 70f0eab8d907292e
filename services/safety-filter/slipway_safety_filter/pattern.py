"""One pattern of a kind, and how a list of them is run over a text in linear time.

RE2 matches without backtracking, so no text can make it slow. A gate tells in one pass which patterns and which words of context a text holds at all:
most texts skip nearly all of them. It refuses to know which kinds there are.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import re2

from slipway_safety_filter.gate import Gate
from slipway_safety_filter.spans import MAX_MATCH_CHARS, Span

CONTEXT_CHARS = 48
"""How far before a match its context words may stand. Only text before a match counts, so that a verdict never waits for what follows it."""

DENSE_CHARS, DENSE_SHARE = 1024, 0.2
"""A long text of which more than this share are digits skips the gate: its automaton would make a new state at nearly every character (12 µs each,
where running all patterns takes 3)."""


def linear(expression: str) -> Any:
    """`expression` as a compiled RE2 program, quiet about its own memory: a program too large for the cache still runs in linear time."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 16 << 20
    return re2.compile(expression, options)


_NO_DIGITS = str.maketrans("", "", "0123456789")
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
        object.__setattr__(self, "compiled", linear(self.whole))
        object.__setattr__(self, "context_compiled", linear(self.context_whole) if self.context else None)

    @property
    def whole(self) -> str:
        """The expression with its flags."""
        return f"(?i){self.expression}" if self.ignore_case else self.expression

    @property
    def context_whole(self) -> str:
        """Any of the context words, as words."""
        return rf"(?i)(?:\b|_)(?:{self.context})(?:\b|_|s\b)"

    def find(self, text: str, digit_count: int, near: bool) -> Iterable[Span]:
        """Every accepted match in `text`; `digit_count` digits are in it, and `near` says whether a context word is in it at all."""
        if digit_count < self.digits:
            return
        for match in self.compiled.finditer(text):
            for start, end in self._bounds(match, text):
                score = self.near if near and self._near(text, start) else self.score
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


class Patterns:
    """A list of patterns behind their gates."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._patterns = tuple(patterns)
        self._gate = Gate([pattern.whole for pattern in patterns])
        named = [(place, pattern.context_whole) for place, pattern in enumerate(patterns) if pattern.context]
        self._named = tuple(place for place, _ in named)
        self._context = Gate([expression for _, expression in named])

    def find(self, text: str) -> list[Span]:
        """Every match of every pattern, overlapping ones included."""
        digit_count = len(text) - len(text.translate(_NO_DIGITS))
        many = len(text) > DENSE_CHARS and digit_count > DENSE_SHARE * len(text)
        places = range(len(self._patterns)) if many else self._gate.open(text)
        if not places:
            return []
        near = {self._named[n] for n in self._context.open(text)}
        return [
            span for place in places if (pattern := self._patterns[place]).score > 0 or place in near
            for span in pattern.find(text, digit_count, place in near)
        ]  # fmt: skip
