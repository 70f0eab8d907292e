"""How good an answer is: exact match and token F1 as SQuAD defines them (Rajpurkar et al. 2016), means over slices, and what a limit on time costs.

It refuses to know who answered.
"""

import re
import string
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from slipway_retriever.evaluate.measures import Interval, interval

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_MARKS = re.compile(r"\[\d+\]")


@dataclass(frozen=True, slots=True)
class Asked:
    """One question put to the API. `rank`: of the first answering file among the search's first k, from 1; `miss_*`: asked again of a store without it."""

    query: str
    rank: int | None
    abstained: bool
    exact: float
    f1: float
    cited_right: float | None
    milliseconds: float
    miss_answered: bool
    miss_quoted: bool
    refused: bool = False

    @property
    def hit(self) -> bool:
        """An answering file was among the first k of the search."""
        return self.rank is not None

    @property
    def slice(self) -> str:
        """By the question's first question word."""
        words = (word.lower() for word in re.findall(r"[A-Za-z]+", self.query))
        return next((word for word in words if word in ("who", "what", "when", "where", "which", "why", "how")), "other")


def plain(text: str) -> list[str]:
    """Words in small letters without marks, punctuation and articles."""
    bare = _MARKS.sub(" ", text).lower().translate(str.maketrans("", "", string.punctuation))
    return _ARTICLES.sub(" ", bare).split()


def exact(answer: str, truths: Sequence[str]) -> float:
    """1 where the answer is one of `truths`."""
    return float(any(plain(answer) == plain(truth) for truth in truths))


def f1(answer: str, truths: Sequence[str]) -> float:
    """The best token F1 over `truths`."""
    return max((_f1(plain(answer), plain(truth)) for truth in truths), default=0.0)


def _f1(ours: Sequence[str], theirs: Sequence[str]) -> float:
    shared = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * shared / (len(ours) + len(theirs)) if shared else 0.0


def groups(asked: Sequence[Asked]) -> dict[str, list[Asked]]:
    """All, hits and misses of the search, and every question word."""
    made: dict[str, list[Asked]] = {
        "all": list(asked),
        "search hit": [a for a in asked if a.hit],
        "search miss": [a for a in asked if not a.hit],
    }
    made |= {name: [a for a in asked if a.slice == name] for name in sorted({a.slice for a in asked})}
    return {name: rows for name, rows in made.items() if rows}


def by_rank(asked: Sequence[Asked]) -> dict[str, list[Asked]]:
    """By where the search had put the first answering file."""
    made = {
        "first": [a for a in asked if a.rank == 1],
        "second or third": [a for a in asked if a.rank in (2, 3)],
        "further back": [a for a in asked if a.rank is not None and a.rank > 3],
        "not found": [a for a in asked if a.rank is None],
    }
    return {name: rows for name, rows in made.items() if rows}


def table(named: str, rows: Mapping[str, Sequence[Asked]]) -> list[list[str]]:
    """Means with 95 % bootstrap intervals, a line for each of `rows`; the head, which begins with `named`, first."""
    head = [
        named,
        "n",
        "hit@k",
        "EM",
        "F1",
        "abstained",
        "refused",
        "citation precision",
        "answered on a miss",
        "of these quotes",
        "p50 ms",
        "p90 ms",
    ]
    return [head, *(_line(name, some) for name, some in rows.items())]


def rank_table(asked: Mapping[str, Sequence[Asked]]) -> list[list[str]]:
    """What becomes of an answer, by where the search had put the passage that holds it; a line for each set and place."""
    head = ["set", "the answering file stood", "n", "EM", "F1", "abstained"]
    lines = [(name, where, rows) for name, some in asked.items() for where, rows in by_rank(some).items()]
    return [
        head,
        *([s, w, str(len(r)), mean(a.exact for a in r), mean(a.f1 for a in r), mean(a.abstained for a in r)] for s, w, r in lines),
    ]


def within(asked: Sequence[Asked], milliseconds: float) -> tuple[float, float, float]:
    """With a limit on time: the share of questions that came back, and EM and F1 where later answers count as none."""
    back = [a for a in asked if a.milliseconds <= milliseconds]
    return len(back) / len(asked), sum(a.exact for a in back) / len(asked), sum(a.f1 for a in back) / len(asked)


def _line(name: str, rows: Sequence[Asked]) -> list[str]:
    cited = [row.cited_right for row in rows if row.cited_right is not None]
    times = sorted(row.milliseconds for row in rows)
    wrong = [row for row in rows if row.miss_answered]
    return [
        name, str(len(rows)), mean(row.hit for row in rows), mean(row.exact for row in rows), mean(row.f1 for row in rows),
        mean(row.abstained for row in rows), mean(row.refused for row in rows), mean(cited),
        mean(row.miss_answered for row in rows), mean(row.miss_quoted for row in wrong),
        f"{times[len(times) // 2]:.0f}", f"{times[int(0.9 * (len(times) - 1))]:.0f}",
    ]  # fmt: skip


def mean(values: Iterable[float | bool | None]) -> str:
    """In percent, with its interval from five values on."""
    found = [float(value) for value in values if value is not None]
    if not found:
        return "-"
    if len(found) < 5:
        return f"{100 * sum(found) / len(found):.0f}"
    return _shown(interval(found))


def _shown(value: Interval) -> str:
    return f"{100 * value.mean:.0f} [{100 * value.low:.0f}, {100 * value.high:.0f}]"
