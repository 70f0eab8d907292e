"""Operating points: what a limit on evidence lets through and keeps back, from answers that were given without any limit and the evidence that stood behind them.

It refuses to ask anybody, and to choose: every choice is a price for wrong answers against the price of none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from slipway_retriever.evaluate import plots
from slipway_retriever.evaluate.report import Part

LIMITS = (0.0, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7)
RIGHT_F1 = 0.5
"""From this F1 on an answer counts as right."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One question as it was answered with no limit on evidence. `answerable`: of the store that holds an answer.

    `right`: an answer whose citations are at least half of answering files, or whose F1 is at least RIGHT_F1.
    """

    set: str
    query: str
    answerable: bool
    evidence: float
    answered: bool
    right: bool
    f1: float


@dataclass(frozen=True, slots=True)
class Point:
    """What comes of all questions, as shares in [0, 1]: of answerable ones (answered rightly, wrongly, not at all) and of others (kept back)."""

    right: float
    wrong: float
    silent: float
    kept_back: float
    f1: float

    @property
    def worth(self) -> float:
        """A right answer is worth one, a wrong one costs one, silence is worth nothing; answerable and other questions weigh the same."""
        return (self.right - self.wrong - (1 - self.kept_back)) / 2


def limited(rows: Sequence[Tried], least: float) -> list[Tried]:
    """The answers with a limit: under it nobody answers."""
    return [row if row.evidence >= least else replace(row, answered=False, right=False, f1=0.0) for row in rows]


def mixed(below: Sequence[Tried], above: Sequence[Tried], limit: float) -> list[Tried]:
    """The same questions as one platform answered them under `limit`, and as the other did from there on."""
    return [high if high.evidence >= limit else low for low, high in zip(below, above, strict=True)]


def point(rows: Sequence[Tried]) -> Point:
    """Every set weighs the same, so that a large one decides nothing alone."""
    sets = list(dict.fromkeys(row.set for row in rows))
    some = [_point([row for row in rows if row.set == name]) for name in sets]
    return Point(*(sum(getattr(one, name) for one in some) / len(some) for name in ("right", "wrong", "silent", "kept_back", "f1")))


def table(name: str, choices: Mapping[str, Sequence[Tried]]) -> list[list[str]]:
    """A line for every choice of the limit `name`, in percent."""
    head = [name, "answered rightly", "wrongly", "not", "F1", "kept back where nothing answers", "worth"]
    return [head, *([label, *_cells(point(rows))] for label, rows in choices.items())]


def parts(points: Mapping[str, Sequence[Tried]], strong: tuple[str, str] | None) -> list[Part]:
    """Sections: the least evidence at the first point, the strong evidence between two points, the other points beside each other."""
    first = next(iter(points.values()))
    curve = {
        "answered rightly": [(100 * t, point(limited(first, t)).right) for t in LIMITS],
        "answered wrongly": [(100 * t, point(limited(first, t)).wrong) for t in LIMITS],
        "kept back where nothing answers": [(100 * t, point(limited(first, t)).kept_back) for t in LIMITS],
    }
    out = [
        Part(
            "Least evidence",
            [
                "In percent, every set weighing the same. Right: at least half of the cited files answer, or F1 is at least 0.5. "
                "Worth: a right answer counts 1, a wrong one or one where nothing answers -1, silence 0."
            ],
            table("least evidence", {f"{t:.2f}": limited(first, t) for t in LIMITS}),
            {"least-evidence.svg": plots.curves("questions by the least evidence that is asked for, percent", curve, "evidence, %")},
        )
    ]
    if strong is not None:
        never, always = points[strong[0]], points[strong[1]]
        choices = {f"{t:.2f}": mixed(never, always, t) for t in (*LIMITS, 0.8, 0.9)} | {"never": never}
        notes = ["A reader that finds nothing is replaced by quotes from this evidence on; no other limit."]
        out.append(Part("Strong evidence", notes, table("strong evidence", choices)))
    if len(points) > 1:
        out.append(Part("Other settings", ["No limit on evidence."], table("settings", points)))
    return out


def _point(rows: Sequence[Tried]) -> Point:
    able, other = ([row for row in rows if row.answerable is wanted] for wanted in (True, False))
    count = max(1, len(able))
    right = sum(row.answered and row.right for row in able) / count
    wrong = sum(row.answered and not row.right for row in able) / count
    silent = sum(not row.answered for row in able) / count
    kept = sum(not row.answered or row.right for row in other) / max(1, len(other))
    return Point(right, wrong, silent, kept, sum(row.f1 for row in able) / count)


def _cells(one: Point) -> list[str]:
    return [
        *(f"{100 * value:.0f}" for value in (one.right, one.wrong, one.silent, one.f1, one.kept_back)),
        f"{100 * one.worth:+.1f}",
    ]
