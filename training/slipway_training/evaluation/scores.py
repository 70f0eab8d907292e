"""Exact match, F1, citations, abstention and groundedness of replies, each with a bootstrap interval.

EM and F1 are SQuAD's (Rajpurkar et al. 2016, arXiv 1606.05250): lower case, no punctuation, no articles, best over the accepted answers.
It knows replies and gold. It refuses to know who replied.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from slipway_shared.grounding import citations, is_abstention, is_grounded, without_citations

RESAMPLES = 2000
_ARTICLE = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = re.compile(r"[^\w\s%$€£]", re.UNICODE)


@dataclass(frozen=True, slots=True)
class Item:
    """One question of a set. `number` is the gold passage (1-based), 0 when no passage holds the answer; `answers` are then empty."""

    passages: tuple[str, ...]
    question: str
    answers: tuple[str, ...]
    number: int


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean with its 95 % percentile-bootstrap interval over `n` items."""

    mean: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def folded(text: str) -> list[str]:
    """The words of an answer as SQuAD compares them."""
    return _ARTICLE.sub(" ", _PUNCTUATION.sub(" ", text.lower())).split()


def exact(reply: str, answers: Sequence[str]) -> float:
    """1.0 when the reply without citations is one of `answers`."""
    return float(any(folded(without_citations(reply)) == folded(a) for a in answers))


def f1(reply: str, answers: Sequence[str]) -> float:
    """The best word F1 over `answers`."""
    return max((_f1(folded(without_citations(reply)), folded(a)) for a in answers), default=0.0)


def _f1(got: list[str], wanted: list[str]) -> float:
    same = sum((Counter(got) & Counter(wanted)).values())
    if not same:
        return 0.0
    precision, recall = same / len(got), same / len(wanted)
    return 2 * precision * recall / (precision + recall)


def score(items: Sequence[Item], replies: Sequence[str], seed: int = 0) -> dict[str, Figure]:
    """All figures of one reader on one set.

    `em`, `f1`, `citation` over the answerable items (an abstention there scores 0; `citation` counts replies that cite the gold passage among those
    that answer); `grounded` over all replies that answer; `abstention_f1` over all items, the positive class being "not held".
    """
    answerable = [(i, r) for i, r in zip(items, replies, strict=True) if i.number]
    spoken = [(i, r) for i, r in zip(items, replies, strict=True) if not is_abstention(r)]
    out = {
        "em": _mean([exact(r, i.answers) if not is_abstention(r) else 0.0 for i, r in answerable], seed),
        "f1": _mean([f1(r, i.answers) if not is_abstention(r) else 0.0 for i, r in answerable], seed),
        "citation": _mean([_cites(i, r) for i, r in answerable if not is_abstention(r)], seed),
        "grounded": _mean([float(is_grounded(r, i.passages)) for i, r in spoken], seed),
        "answered": _mean([float(not is_abstention(r)) for _, r in answerable], seed),
    }
    pairs = np.array([(i.number == 0, is_abstention(r)) for i, r in zip(items, replies, strict=True)], dtype=np.bool_).reshape(-1, 2)
    out["abstention_f1"] = _bootstrap(len(pairs), lambda rows: _binary_f1(pairs[rows, 0], pairs[rows, 1]), seed)
    return out


def _cites(item: Item, reply: str) -> float:
    marks = citations(reply, len(item.passages))
    return float(bool(marks) and all(m.number == item.number for m in marks))


def _mean(values: list[float], seed: int) -> Figure:
    column = np.asarray(values, dtype=np.float64)
    return _bootstrap(len(column), lambda rows: float(column[rows].mean()), seed)


def _binary_f1(wanted: "np.ndarray[tuple[int], np.dtype[np.bool_]]", got: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> float:
    hit = int((wanted & got).sum())
    return 2 * hit / max(1, int(wanted.sum()) + int(got.sum()))


def _bootstrap(n: int, figure: Callable[["np.ndarray[tuple[int], np.dtype[np.int64]]"], float], seed: int) -> Figure:
    if n == 0:
        return Figure(float("nan"), float("nan"), float("nan"), 0)
    rng = np.random.default_rng(seed)
    draws = np.array([figure(rng.integers(0, n, n)) for _ in range(RESAMPLES)])
    low, high = np.percentile(draws, [2.5, 97.5])
    return Figure(figure(np.arange(n)), float(low), float(high), n)


def paired(first: Sequence[float], second: Sequence[float], seed: int = 0) -> Figure:
    """The mean of `first - second` over the same items, with its paired-bootstrap interval."""
    return _mean([a - b for a, b in zip(first, second, strict=True)], seed)
