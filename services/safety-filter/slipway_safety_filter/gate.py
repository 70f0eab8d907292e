"""Which patterns can match a text at all, told by one pass over it.

One RE2 set holds every pattern; another holds every word of context. Most texts of a hundred characters hold none or two, so the patterns that say
nothing are never run. Matching stays linear: a set is one automaton, whose memory has a bound and which starts afresh when the bound is reached.
It refuses to know what a pattern is for.
"""

from collections.abc import Iterable, Sequence
from typing import Any, cast

import re2

MEMORY = 48 << 20
"""Bytes that the automata of one set may hold. States are made as texts need them; a few MB are used in practice."""


class Gate:
    """Holds expressions in an order; tells which of them occur in a text."""

    def __init__(self, expressions: Sequence[str]) -> None:
        options = re2.Options()
        options.max_mem = MEMORY
        options.log_errors = False
        self._set = cast(Any, re2.Set.SearchSet(options))
        self._count = len(expressions)
        for expression in expressions:
            self._set.Add(expression)
        # Matches every text: its absence says that the automaton gave up, and then nothing may be left out.
        self._always = self._set.Add("")
        self._set.Compile()

    def open(self, text: str) -> Iterable[int]:
        """Ascending places of the expressions that occur in `text`; all of them if the set cannot say."""
        found: list[int] = self._set.Match(text) or []
        if self._always not in found:
            return range(self._count)
        if len(found) == 1:
            return ()
        found.remove(self._always)
        return sorted(found)
