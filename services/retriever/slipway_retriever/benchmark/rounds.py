"""Interleaved rounds: every contender once per round, so that a busy minute hits all of them alike. It refuses to know what is measured."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Work = Callable[[], int]
"""Does some work once and answers how many items it was."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Items per second: the best round, the median, and the quartiles."""

    best: float
    median: float
    low: float
    high: float


def measure(contenders: Mapping[str, Work], *, rounds: int = 9, seconds: float = 0.5) -> dict[str, Speed]:
    """Run every contender for about `seconds` in each round, after one warm-up call."""
    for work in contenders.values():
        work()
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, work in contenders.items():
            found[name].append(_rate(work, seconds))
    return {name: _speed(rates) for name, rates in found.items()}


def table(title: str, unit: str, speeds: Mapping[str, Speed]) -> str:
    """A Markdown table; the ratio is the first contender's best over this one's."""
    first = next(iter(speeds.values()))
    head = f"| {title} | best {unit} | median | quartiles | first is faster by |\n|---|---|---|---|---|"
    rows = [
        f"| {name} | {s.best:,.0f} | {s.median:,.0f} | {s.low:,.0f}-{s.high:,.0f} | {first.best / s.best:.2f}x |"
        for name, s in speeds.items()
    ]
    return "\n".join([head, *rows])


def _rate(work: Work, seconds: float) -> float:
    started, items = time.perf_counter(), 0
    while (spent := time.perf_counter() - started) < seconds:
        items += work()
    return items / spent


def _speed(rates: Sequence[float]) -> Speed:
    low, _, high = statistics.quantiles(rates, n=4)
    return Speed(max(rates), statistics.median(rates), low, high)
