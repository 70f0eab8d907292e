"""How good an answer is: exact match and token F1 as SQuAD defines them (Rajpurkar et al. 2016), and means over slices. It refuses to know who answered."""

import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from slipway_retriever.evaluate.measures import Interval, interval

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_MARKS = re.compile(r"\[\d+\]")


@dataclass(frozen=True, slots=True)
class Asked:
    """One question put to the API. `hit`: an answering file was among the first k of the search; `miss_*`: asked again of a store without it."""

    query: str
    hit: bool
    abstained: bool
    exact: float
    f1: float
    cited_right: float | None
    milliseconds: float
    miss_answered: bool
    miss_quoted: bool

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


def table(asked: Sequence[Asked]) -> str:
    """Means with 95 % bootstrap intervals: of all, of hits and misses of the search, and by question word."""
    groups: dict[str, list[Asked]] = {
        "all": list(asked),
        "search hit": [a for a in asked if a.hit],
        "search miss": [a for a in asked if not a.hit],
    }
    for name in sorted({a.slice for a in asked}):
        groups[name] = [a for a in asked if a.slice == name]
    head = "| questions | n | hit@k | EM | F1 | abstained | citation precision | answered on a miss | of these quotes | p50 ms | p90 ms |"
    return "\n".join([head, "|" + "---|" * 11, *(_line(name, rows) for name, rows in groups.items() if rows)])


def _line(name: str, rows: Sequence[Asked]) -> str:
    cited = [row.cited_right for row in rows if row.cited_right is not None]
    times = sorted(row.milliseconds for row in rows)
    wrong = [row for row in rows if row.miss_answered]
    cells = [
        name, str(len(rows)), _mean(row.hit for row in rows), _mean(row.exact for row in rows), _mean(row.f1 for row in rows),
        _mean(row.abstained for row in rows), _mean(cited), _mean(row.miss_answered for row in rows), _mean(row.miss_quoted for row in wrong),
        f"{times[len(times) // 2]:.0f}", f"{times[int(0.9 * (len(times) - 1))]:.0f}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _mean(values: Iterable[float | bool | None]) -> str:
    found = [float(value) for value in values if value is not None]
    if not found:
        return "-"
    if len(found) < 5:
        return f"{100 * sum(found) / len(found):.0f}"
    return _shown(interval(found))


def _shown(value: Interval) -> str:
    return f"{100 * value.mean:.0f} [{100 * value.low:.0f}, {100 * value.high:.0f}]"
