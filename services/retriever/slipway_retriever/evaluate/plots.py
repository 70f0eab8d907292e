"""Plots as plain SVG: grouped bars with intervals, and curves. It refuses to compute any figure."""

import html
from collections.abc import Mapping, Sequence

from slipway_retriever.evaluate.measures import Interval

COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#a463f2")
HEIGHT, FOOT, SPAN = 260, 30, 190
_BAR, _GAP = 22, 26


def bars(title: str, groups: Mapping[str, Mapping[str, Interval]]) -> str:
    """A group of bars for each key of `groups`, a bar for each of its series; values and intervals in [0, 1]."""
    series = list(dict.fromkeys(name for group in groups.values() for name in group))
    step = max(len(series) * _GAP + 30, 90)
    parts = [f'<text x="4" y="14">{html.escape(title)}</text>']
    for i, (group, values) in enumerate(groups.items()):
        for name, value in values.items():
            x = 40 + i * step + series.index(name) * _GAP
            top, low, high = (HEIGHT - FOOT - SPAN * v for v in (value.mean, value.low, value.high))
            parts.append(f'<rect x="{x}" y="{top:.1f}" width="{_BAR}" height="{HEIGHT - FOOT - top:.1f}" fill="{_colour(series, name)}"/>')
            parts.append(f'<path d="M{x + _BAR / 2} {low:.1f}V{high:.1f}" stroke="#333"/>')
            parts.append(f'<text x="{x}" y="{top - 3:.1f}" font-size="9">{100 * value.mean:.0f}</text>')
        parts.append(f'<text x="{40 + i * step}" y="{HEIGHT - 12}">{html.escape(group)}</text>')
    return _page(parts + _legend(series), 60 + len(groups) * step, HEIGHT + 20)


def curves(title: str, lines: Mapping[str, Sequence[tuple[float, float]]], unit: str) -> str:
    """Lines through (x, y in [0, 1]); `unit` names x, which begins at 0."""
    longest = max((x for line in lines.values() for x, _ in line), default=1.0) or 1.0
    width = 520
    parts = [f'<text x="4" y="14">{html.escape(title)}</text>']
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = HEIGHT - FOOT - SPAN * share
        parts.append(f'<path d="M40 {y}H{40 + width}" stroke="#ddd"/><text x="4" y="{y + 4}">{100 * share:.0f}</text>')
        parts.append(f'<text x="{40 + share * width - 10:.0f}" y="{HEIGHT - 12}">{share * longest:.0f}</text>')
    for name, line in lines.items():
        path = "L".join(f"{40 + width * x / longest:.1f} {HEIGHT - FOOT - SPAN * y:.1f}" for x, y in line)
        parts.append(f'<path d="M{path}" fill="none" stroke="{_colour(list(lines), name)}" stroke-width="2"/>')
    parts.append(f'<text x="{width + 10}" y="{HEIGHT}">{html.escape(unit)}</text>')
    return _page(parts + _legend(list(lines)), width + 80, HEIGHT + 20)


def _legend(series: Sequence[str]) -> list[str]:
    out: list[str] = []
    x = 40
    for name in series:
        out.append(f'<rect x="{x}" y="{HEIGHT + 4}" width="10" height="10" fill="{_colour(series, name)}"/>')
        out.append(f'<text x="{x + 14}" y="{HEIGHT + 13}">{html.escape(name)}</text>')
        x += 34 + 7 * len(name)
    return out


def _colour(series: Sequence[str], name: str) -> str:
    return COLOURS[series.index(name) % len(COLOURS)]


def _page(parts: Sequence[str], width: int, height: int) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-size="12" font-family="sans-serif">'
    return f'{head}<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n'
