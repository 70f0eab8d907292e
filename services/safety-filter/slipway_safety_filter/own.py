"""Checks of an operator's own: functions that `SLIPWAY_SAFETY_OWN_CHECKS` names, as `package.module:function`.

A check takes the text and its side and yields what it found; the policy says what happens (`own`, or `own.NAME` for one of them). It is code that the
operator installed beside the filter, and it is trusted as such. It must be quick: every prompt and every window of a stream passes through it.
It refuses to know policies, and a check that fails is no verdict: the request is refused, as when the filter is away.
"""

import importlib
import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

from slipway_shared import errors
from slipway_shared.contracts import Side

from slipway_safety_filter.spans import Span

CATEGORY = "own"
MAX_FOUND = 256
"""Findings of one check in one text that are looked at."""
_PLACE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class Found(NamedTuple):
    """What a check found: character offsets into its text, and how sure it is, in [0, 1]."""

    start: int
    end: int
    score: float = 1.0


OwnCheck = Callable[[str, Side], Iterable[Found]]


class OwnCheckError(Exception):
    """A check that the settings name cannot be used; the message says which and why."""


@dataclass(frozen=True)
class Own:
    """One check under its name, the function's."""

    name: str
    find: OwnCheck

    @property
    def category(self) -> str:
        """Under which name its findings are reported."""
        return f"{CATEGORY}.{self.name}"

    def spans(self, text: str, side: Side) -> list[Span]:
        """What it finds in `text`. Raises Internal where it fails or points outside of the text."""
        try:
            found = [Found(*one) for one in itertools.islice(self.find(text, side), MAX_FOUND)]
            wrong = next((one for one in found if not (0 <= one.start < one.end <= len(text) and 0 <= one.score <= 1)), None)
        except Exception as error:
            raise errors.Internal(f"The check {self.name} failed ({type(error).__name__}).") from error
        if wrong is not None:
            raise errors.Internal(f"The check {self.name} points outside of the text, or its score is not between 0 and 1.")
        return [Span(self.category, self.name, one.start, one.end, one.score) for one in found]


def load(places: Sequence[str]) -> tuple[Own, ...]:
    """The checks at `places`; raises OwnCheckError."""
    out = tuple(_loaded(place) for place in places)
    if len({own.name for own in out}) < len(out):
        raise OwnCheckError("two checks have the same name; name their functions differently")
    return out


def _loaded(place: str) -> Own:
    if not _PLACE.fullmatch(place):
        raise OwnCheckError(f"{place!r} is no check: write package.module:function")
    module, _, name = place.partition(":")
    try:
        find = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise OwnCheckError(f"the check {place} cannot be imported: {error}") from error
    except Exception as error:  # a module runs what its author wrote when it is imported
        raise OwnCheckError(f"the check {place} cannot be imported: {type(error).__name__}: {error}") from error
    if not callable(find):
        raise OwnCheckError(f"the check {place} is no function")
    return Own(name, cast("OwnCheck", find))
