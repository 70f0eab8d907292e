"""Figures as a Markdown and an HTML page with the same plots beside them. It refuses to compute any figure and to know what was measured."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from slipway_retriever.evaluate import plots
from slipway_retriever.evaluate.measures import Interval, interval

MEASURES = ("nDCG@10", "Recall@5", "Recall@20", "MRR@10")
_STYLE = (
    "body{font:15px sans-serif;max-width:70em;margin:2em auto}td,th{padding:.2em .8em;text-align:right}td:nth-child(-n+2){text-align:left}"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One way of searching on one test set: the value of each measure for every query, in the same order for all ways."""

    test: str
    way: str
    queries: int
    documents: int
    values: Mapping[str, Sequence[float]]
    milliseconds: float

    def measure(self, name: str) -> Interval:
        """The mean over queries with its interval."""
        return interval(self.values[name])


@dataclass(frozen=True, slots=True)
class Part:
    """A section of a report: a sentence or two, a table (head first), and plots by file name."""

    title: str
    notes: Sequence[str] = ()
    table: Sequence[Sequence[str]] = ()
    plots: Mapping[str, str] = field(default_factory=dict[str, str])


def write(out: Path, heading: str, parts: Sequence[Part]) -> None:
    """Write `report.md`, `report.html` and the plots into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    text, page = [f"# {heading}"], [f"<h1>{html.escape(heading)}</h1>"]
    for part in parts:
        text += [
            f"## {part.title}",
            *part.notes,
            *([markdown(part.table)] if part.table else []),
            *(f"![{name}]({name})" for name in part.plots),
        ]
        page += [
            f"<h2>{html.escape(part.title)}</h2>",
            *(f"<p>{html.escape(note)}</p>" for note in part.notes),
            _html(part.table),
            *part.plots.values(),
        ]
        for name, drawn in part.plots.items():
            (out / name).write_text(drawn, encoding="utf-8")
    (out / "report.md").write_text("\n\n".join(text) + "\n", encoding="utf-8")
    whole = f"<!doctype html><meta charset=utf-8><title>{html.escape(heading)}</title><style>{_STYLE}</style>{''.join(page)}"
    (out / "report.html").write_text(whole, encoding="utf-8")


def searches(rows: Sequence[Row]) -> list[Part]:
    """The sections of a comparison of searches."""
    tests = list(dict.fromkeys(row.test for row in rows))
    drawn: dict[str, str] = {}
    for measure in MEASURES[:2]:
        groups = {test: {row.way: row.measure(measure) for row in rows if row.test == test} for test in tests}
        drawn[f"{measure.lower().replace('@', '-')}.svg"] = plots.bars(f"{measure}, points, with 95 % intervals", groups)
    return [Part("Searches", table=cells(rows), plots=drawn), Part("Against the better of dense search and BM25", table=gains(rows))]


def cells(rows: Sequence[Row]) -> list[list[str]]:
    """Measures in points, 95 % intervals in brackets."""
    head = ["set", "search", "queries", *MEASURES, "ms per query"]
    return [
        head,
        *([row.test, row.way, str(row.queries), *(figure(row.measure(m)) for m in MEASURES), f"{row.milliseconds:.1f}"] for row in rows),
    ]


def gains(rows: Sequence[Row]) -> list[list[str]]:
    """What every way adds in nDCG@10 to the better of dense search and BM25, set by set, with intervals of the difference over the same queries."""
    found = {(row.test, row.way): row for row in rows}
    others = [way for way in dict.fromkeys(row.way for row in rows) if way not in ("dense", "bm25")]
    out = [["set", "the better of the two", *others]]
    for test in dict.fromkeys(row.test for row in rows):
        two = [found[test, way] for way in ("dense", "bm25") if (test, way) in found]
        if two:
            best = max(two, key=lambda row: row.measure("nDCG@10").mean)
            told = [difference(found[test, way], best) if (test, way) in found else "-" for way in others]
            out.append([test, f"{best.way} {100 * best.measure('nDCG@10').mean:.1f}", *told])
    return out


def difference(row: Row, other: Row) -> str:
    """nDCG@10 of `row` over `other`, in points: paired over queries."""
    value = interval([a - b for a, b in zip(row.values["nDCG@10"], other.values["nDCG@10"], strict=True)])
    return f"{100 * value.mean:+.1f} [{100 * value.low:+.1f}, {100 * value.high:+.1f}]"


def markdown(table: Sequence[Sequence[str]]) -> str:
    """A table, its head first."""
    head, *lines = table
    return "\n".join([f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(line)} |" for line in lines)])


def figure(value: Interval) -> str:
    """In points, with its interval."""
    return f"{100 * value.mean:.1f} [{100 * value.low:.1f}, {100 * value.high:.1f}]"


def _html(table: Sequence[Sequence[str]]) -> str:
    if not table:
        return ""
    rows = [f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in line)}</tr>" for tag, line in _tagged(table)]
    return f"<table>{''.join(rows)}</table>"


def _tagged(table: Sequence[Sequence[str]]) -> list[tuple[str, Sequence[str]]]:
    return [("td" if number else "th", line) for number, line in enumerate(table)]
