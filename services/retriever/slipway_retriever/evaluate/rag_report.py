"""The report of a run through the API: tables and plots over the questions that were asked. It refuses to ask."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from slipway_retriever.evaluate import answers, plots, report
from slipway_retriever.evaluate.answers import Asked
from slipway_retriever.evaluate.measures import Interval, interval

BUDGETS = (250, 500, 1000, 2000, 5000)
_MEASURES: dict[str, Callable[[Asked], float]] = {"EM": lambda a: a.exact, "F1": lambda a: a.f1, "abstained": lambda a: float(a.abstained)}


def write(out: Path, heading: str, asked: Mapping[str, Sequence[Asked]], points: Sequence[report.Part] = ()) -> None:
    """`report.md`, `report.html` and their plots: of every set, then the operating points."""
    report.write(out, heading, [*parts(asked), *points])


def parts(asked: Mapping[str, Sequence[Asked]]) -> list[report.Part]:
    """The sections; `asked` by set."""
    every = [one for rows in asked.values() for one in rows]
    sets = {**asked, "all": every} if len(asked) > 1 else dict(asked)
    by_rank = {name: _bars(rows) for name, rows in answers.by_rank(every).items()}
    return [
        report.Part(
            "Answers, citations, misses",
            [
                "In percent, with 95 % bootstrap intervals over questions. A miss is made: the question is asked again of a store without any answering file."
            ],
            answers.table("set", sets),
            {
                "sets.svg": plots.bars("answers, percent", {name: _bars(rows) for name, rows in sets.items()}),
                "misses.svg": plots.bars(
                    "answered although nothing answers, percent", {name: _missed(rows) for name, rows in sets.items()}
                ),
            },
        ),
        *(report.Part(f"Slices of {name}", (), answers.table("questions", answers.groups(rows))) for name, rows in asked.items()),
        report.Part(
            "What search has to do with it",
            [],
            answers.rank_table(sets),
            {"rank.svg": plots.bars("answers by the rank of the answering file, percent", by_rank)},
        ),
        report.Part("With a limit on time", ["Answers that come later count as none."], _budgets(every), {"time.svg": _curve(every)}),
    ]


def _bars(rows: Sequence[Asked]) -> dict[str, Interval]:
    return {name: interval([of(row) for row in rows]) for name, of in _MEASURES.items()}


def _missed(rows: Sequence[Asked]) -> dict[str, Interval]:
    return {
        "answered": interval([float(row.miss_answered) for row in rows]),
        "answered, and not as a quote": interval([float(row.miss_answered and not row.miss_quoted) for row in rows]),
    }


def _budgets(asked: Sequence[Asked]) -> list[list[str]]:
    lines = [[f"{limit:,} ms", *(f"{100 * value:.0f}" for value in answers.within(asked, limit))] for limit in BUDGETS]
    return [["limit", "came back", "EM", "F1"], *lines]


def _curve(asked: Sequence[Asked]) -> str:
    limits = sorted({0.0, *(a.milliseconds for a in asked)})
    found = [answers.within(asked, limit) for limit in limits]
    names = ("came back", "EM", "F1")
    lines = {name: [(limit, values[i]) for limit, values in zip(limits, found, strict=True)] for i, name in enumerate(names)}
    return plots.curves("share of the questions within a limit on time, percent", lines, "ms")
