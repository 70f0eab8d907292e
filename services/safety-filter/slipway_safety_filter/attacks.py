"""Adds signals up over every way in which a text can be read, and tells an attack from talk about attacks.

The score of a category is what is left of no doubt: 1 - product of (1 - weight) over its distinct signals. It refuses to know policies and models.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from slipway_safety_filter import views
from slipway_safety_filter.gate import Gate
from slipway_safety_filter.pattern import linear
from slipway_safety_filter.signals import SIGNALS, Signal

CATEGORIES = ("injection", "jailbreak", "prompt_extraction")
MARKERS = "turn_markers"
MAX_CHARS = 65536
"""Rules read this much of a text from each end; the classifier reads windows over all of it up to its own bound."""

_GATE = Gate([f"(?is){signal.expression}" for signal in SIGNALS])
_QUOTED = linear(r'"[^"\n]{3,200}"|“[^”\n]{3,200}”|`[^`\n]{3,200}`|\'[^\'\n]{8,200}\'')
_ABOUT = linear(
    r"(?i)\b(?:what (?:is|are|does|do|makes)|explain(?:s|ed|ing)?|how (?:do|does|can|could|would|should|to|is|are)|why (?:do|does|is|are|would)|example(?:s)? of|"
    r"such as|e\.g\.|for instance|called|known as|detect(?:s|ed|ing|ion)?|prevent(?:s|ing|ion)?|defen[dcs]\w*|protect\w*|mitigat\w*|classif\w+|filter for|"
    r"phrases? like|attack(?:s|er|ers)?|vulnerabilit\w+|paper|research(?:ers)?|article|blog|study|dataset|"
    r"test case|unit test|regex|documentation|difference between|mean(?:s|t)?)\b"
)


@dataclass(frozen=True, slots=True)
class Attack:
    """The score of one category and its strongest signal. Offsets are into the text as it came; 0, 0 where the signal was hidden in an encoding."""

    category: str
    rule: str
    score: float
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Hit:
    signal: Signal
    weight: float
    start: int
    end: int


def find(text: str) -> list[Attack]:
    """The attacks in `text`, at most one per category, best view of each."""
    if len(text) > 2 * MAX_CHARS:
        text = text[:MAX_CHARS] + "\n" + text[-MAX_CHARS:]
    view = views.folded(text)
    plain = view.text if view else text
    seen = _hits(plain)
    best = _scored(seen)
    shown = {hit.signal.rule for hit in seen}
    if view is not None:
        best = {c: Attack(c, a.rule, a.score, view.starts[a.start], view.ends[a.end - 1]) for c, a in best.items()}
    for hidden in _hidden(plain):
        for category, attack in _scored([hit for hit in _hits(hidden) if hit.signal.rule not in shown]).items():
            # Who hides such a phrase in an encoding does not write about it.
            score = 1 - (1 - attack.score) * 0.5
            if category not in best or best[category].score < score:
                best[category] = Attack(category, f"hidden_{attack.rule}", score, 0, 0)
    return list(best.values())


def _hidden(plain: str) -> list[str]:
    readings = [reading for reading in (views.unleeted(plain), views.unspaced(plain)) if reading is not None and reading != plain]
    return readings + views.decoded(plain)


def _hits(text: str) -> list[_Hit]:
    quotes: list[tuple[int, int]] | None = None
    hits: list[_Hit] = []
    for signal in (SIGNALS[place] for place in _GATE.open(text)):
        match = signal.compiled.search(text)
        if match is None:
            continue
        start, end = match.span()
        if quotes is None:
            quotes = _mentions(text)
        mentioned = any(a <= start and end <= b for a, b in quotes) or (signal.rule == MARKERS and _coded(text, start, end))
        hits.append(_Hit(signal, signal.weight * (0.35 if mentioned else 1.0), start, end))
    return hits


def _mentions(text: str) -> list[tuple[int, int]]:
    """Quotations in a text that speaks about such phrases rather than using them."""
    quotes = [match.span() for match in _QUOTED.finditer(text)]
    if not quotes:
        return []
    outside = _without(text, quotes)
    return quotes if _ABOUT.search(outside) else []


def _coded(text: str, start: int, end: int) -> bool:
    """Alone between backticks, as documentation shows markup: there it ends no turn."""
    return text[max(0, start - 1) : start] == "`" and text[end : end + 1] == "`"


def _without(text: str, spans: Sequence[tuple[int, int]]) -> str:
    parts: list[str] = []
    at = 0
    for start, end in spans:
        parts.append(text[at:start])
        at = end
    return " ".join([*parts, text[at:]])


def _scored(hits: Sequence[_Hit]) -> dict[str, Attack]:
    out: dict[str, Attack] = {}
    for category in CATEGORIES:
        own = [hit for hit in hits if hit.signal.category == category]
        if not own:
            continue
        doubt = 1.0
        for hit in own:
            doubt *= 1 - hit.weight
        top = max(own, key=lambda hit: hit.weight)
        out[category] = Attack(category, top.signal.rule, round(1 - doubt, 4), top.start, top.end)
    return out
