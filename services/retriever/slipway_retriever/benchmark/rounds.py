"""Interleaved rounds: every contender once per round, so that a busy minute hits all of them alike. It refuses to know what is measured.

The first figure is processor time per item: it is what a machine has to be bought for, and it changes least when others use the machine too.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Work = Callable[[], int]
"""Does some work once and answers how many items it was."""
Clock = Callable[[], float]
"""Seconds of processor time used so far by whoever does the work."""


@dataclass(frozen=True, slots=True)
class Contender:
    """`clock` is another process's where the work is done there."""

    work: Work
    clock: Clock = time.process_time


@dataclass(frozen=True, slots=True)
class Speed:
    """Per item, in milliseconds: processor time (median over rounds, with its quartiles) and wall time (median)."""

    cpu: float
    low: float
    high: float
    wall: float


def measure(contenders: Mapping[str, Contender], *, rounds: int = 9, seconds: float = 0.5) -> dict[str, Speed]:
    """Run every contender for about `seconds` in each round, after one warm-up call."""
    for contender in contenders.values():
        contender.work()
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            found[name].append(_spent(contender, seconds))
    return {name: _speed(spent) for name, spent in found.items()}


def table(title: str, speeds: Mapping[str, Speed]) -> str:
    """A Markdown table; the ratio is a contender's processor time over the first one's."""
    first = next(iter(speeds.values()))
    head = f"| {title} | CPU ms per item, median | quartiles | wall ms per item | times the first's CPU |\n|---|---|---|---|---|"
    rows = [f"| {name} | {s.cpu:.3f} | {s.low:.3f}-{s.high:.3f} | {s.wall:.3f} | {s.cpu / first.cpu:.2f} |" for name, s in speeds.items()]
    return "\n".join([head, *rows])


def _spent(contender: Contender, seconds: float) -> tuple[float, float]:
    started, clock, items = time.perf_counter(), contender.clock(), 0
    while not items or time.perf_counter() - started < seconds:
        items += contender.work()
    return 1000 * (contender.clock() - clock) / items, 1000 * (time.perf_counter() - started) / items


def _speed(spent: Sequence[tuple[float, float]]) -> Speed:
    low, middle, high = statistics.quantiles([cpu for cpu, _ in spent], n=4)
    return Speed(middle, low, high, statistics.median(wall for _, wall in spent))
