"""Figures as a Markdown and an HTML page, plots drawn as plain SVG. It refuses to compute any figure."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slipway_retriever.evaluate.measures import Interval

MEASURES = ("nDCG@10", "Recall@5", "Recall@20", "MRR@10")
_COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#a463f2")


@dataclass(frozen=True, slots=True)
class Row:
    """One way of searching on one test set."""

    test: str
    way: str
    queries: int
    documents: int
    measures: Mapping[str, Interval]
    milliseconds: float


def write(out: Path, rows: Sequence[Row], heading: str, notes: Sequence[str]) -> None:
    """Write `report.md` and `report.html` into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.md").write_text("\n".join([f"# {heading}", "", *notes, "", table(rows), ""]), encoding="utf-8")
    plots = "".join(_plot(rows, measure) for measure in MEASURES[:2])
    body = f"<h1>{html.escape(heading)}</h1>{''.join(f'<p>{html.escape(n)}</p>' for n in notes)}{_html_table(rows)}{plots}"
    style = "body{font:15px sans-serif;max-width:60em;margin:2em auto}td,th{padding:.2em .8em;text-align:right}td:nth-child(-n+2){text-align:left}"
    page = f"<!doctype html><meta charset=utf-8><title>{html.escape(heading)}</title><style>{style}</style>{body}"
    (out / "report.html").write_text(page, encoding="utf-8")


def table(rows: Sequence[Row]) -> str:
    """A Markdown table: measures in points, 95 % intervals in brackets."""
    head = ["set", "search", "queries", *MEASURES, "ms per query"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(_cells(row))} |" for row in rows)])


def _cells(row: Row) -> list[str]:
    return [row.test, row.way, str(row.queries), *(_figure(row.measures[m]) for m in MEASURES), f"{row.milliseconds:.1f}"]


def _figure(value: Interval) -> str:
    return f"{100 * value.mean:.1f} [{100 * value.low:.1f}, {100 * value.high:.1f}]"


def _html_table(rows: Sequence[Row]) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in ("set", "search", "queries", *MEASURES, "ms"))
    lines = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in _cells(row))}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{lines}</table>"


def _plot(rows: Sequence[Row], measure: str) -> str:
    """Grouped bars with their intervals, one group per test set."""
    tests = list(dict.fromkeys(row.test for row in rows))
    ways = list(dict.fromkeys(row.way for row in rows))
    width, height, bar = 40 + len(tests) * (len(ways) * 26 + 30), 260, 22
    parts = [f'<text x="4" y="14">{measure}</text>']
    for row in rows:
        value = row.measures[measure]
        x = 40 + tests.index(row.test) * (len(ways) * 26 + 30) + ways.index(row.way) * 26
        top, low, high = (height - 30 - 190 * v for v in (value.mean, value.low, value.high))
        colour = _COLOURS[ways.index(row.way) % len(_COLOURS)]
        parts.append(f'<rect x="{x}" y="{top:.1f}" width="{bar}" height="{height - 30 - top:.1f}" fill="{colour}"/>')
        parts.append(f'<path d="M{x + bar / 2} {low:.1f}V{high:.1f}" stroke="#333"/>')
    for i, test in enumerate(tests):
        parts.append(f'<text x="{40 + i * (len(ways) * 26 + 30)}" y="{height - 10}">{html.escape(test)}</text>')
    legend = " ".join(f'<span style="color:{_COLOURS[i % len(_COLOURS)]}">&#9632;</span> {html.escape(way)}' for i, way in enumerate(ways))
    return f'<p>{legend}</p><svg width="{width}" height="{height}" font-size="12">{"".join(parts)}</svg>'
