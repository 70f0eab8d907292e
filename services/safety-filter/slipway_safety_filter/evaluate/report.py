"""The report as Markdown with SVG plots beside it. It refuses to measure."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from slipway_safety_filter.evaluate.figures import Rate, percentile

WIDTH, HEIGHT, EDGE = 420, 300, 44


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(map(str, row))} |" for row in rows)]) + "\n"


def pair_table(rates: Mapping[str, tuple[Rate, Rate]]) -> str:
    """Recall and precision by kind."""
    return table(("kind", "recall", "precision"), [(kind, *pair) for kind, pair in rates.items()])


def latency_table(timings: Mapping[str, Sequence[float]]) -> str:
    """Milliseconds of CPU per check."""
    rows = [(name, len(s), *(f"{1000 * percentile(s, share):.2f}" for share in (0.5, 0.95, 0.99))) for name, s in timings.items()]
    return table(("texts", "n", "p50 ms", "p95 ms", "p99 ms"), rows)


def plot(path: Path, title: str, points: Sequence[tuple[float, float]], axes: tuple[str, str], right: float) -> None:
    """One line over the unit square, its x axis cut at `right`."""

    def place(x: float, y: float) -> str:
        return f"{EDGE + min(x, right) / right * (WIDTH - 2 * EDGE):.1f},{HEIGHT - EDGE - y * (HEIGHT - 2 * EDGE):.1f}"

    line = " ".join(place(x, y) for x, y in points if x <= right)
    grid = "".join(
        f'<path d="M{place(0, k / 4)} L{place(right, k / 4)}" stroke="#ddd"/><text x="8" y="{HEIGHT - EDGE - k / 4 * (HEIGHT - 2 * EDGE) + 4:.0f}">{k * 25} %</text>'
        for k in range(5)
    )
    marks = "".join(
        f'<text x="{EDGE + k / 4 * (WIDTH - 2 * EDGE) - 10:.0f}" y="{HEIGHT - EDGE + 16}">{100 * right * k / 4:.1f}</text>'
        for k in range(5)
    )
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="11">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/><text x="{EDGE}" y="20" font-size="13">{title}</text>{grid}{marks}'
        f'<text x="{WIDTH // 2 - 60}" y="{HEIGHT - 8}">{axes[0]}</text><text x="8" y="34">{axes[1]}</text>'
        f'<polyline points="{line}" fill="none" stroke="#1565c0" stroke-width="2"/></svg>\n',
        encoding="utf-8",
    )


COLOURS = ("#1565c0", "#c62828", "#2e7d32", "#6a1b9a")


def lines(path: Path, title: str, drawn: Mapping[str, Sequence[tuple[float, float]]], axes: tuple[str, str]) -> None:
    """Several lines over the unit square, each with its name."""

    def place(x: float, y: float) -> str:
        return f"{EDGE + x * (WIDTH - 2 * EDGE):.1f},{HEIGHT - EDGE - y * (HEIGHT - 2 * EDGE):.1f}"

    grid = "".join(
        f'<path d="M{place(0, k / 4)} L{place(1, k / 4)}" stroke="#ddd"/><text x="8" y="{HEIGHT - EDGE - k / 4 * (HEIGHT - 2 * EDGE) + 4:.0f}">{k * 25} %</text>'
        f'<text x="{EDGE + k / 4 * (WIDTH - 2 * EDGE) - 8:.0f}" y="{HEIGHT - EDGE + 16}">{k / 4:.2f}</text>'
        for k in range(5)
    )
    paths = "".join(
        f'<polyline points="{" ".join(place(x, y) for x, y in points)}" fill="none" stroke="{COLOURS[n % 4]}" stroke-width="2"/>'
        f'<text x="{WIDTH // 2 - 40}" y="{HEIGHT // 2 - 10 + 16 * n}" fill="{COLOURS[n % 4]}">{name}</text>'
        for n, (name, points) in enumerate(drawn.items())
    )
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="11">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/><text x="{EDGE}" y="20" font-size="13">{title}</text>{grid}{paths}'
        f'<text x="{WIDTH // 2 - 60}" y="{HEIGHT - 8}">{axes[0]}</text><text x="8" y="34">{axes[1]}</text></svg>\n',
        encoding="utf-8",
    )


def bars(path: Path, title: str, values: Mapping[str, float]) -> None:
    """Horizontal bars on a logarithmic axis that begins a tenth below the smallest value; the figure stands behind its bar."""
    low = math.log10(min(values.values())) - 1
    span = max(1.0, math.log10(max(values.values())) - low)
    rows = "".join(
        f'<text x="8" y="{46 + 26 * n}">{name}</text><rect x="240" y="{34 + 26 * n}" height="16" fill="#1565c0" '
        f'width="{(math.log10(value) - low) / span * 220:.1f}"/><text x="{246 + (math.log10(value) - low) / span * 220:.1f}" y="{46 + 26 * n}">{value:,.0f}</text>'
        for n, (name, value) in enumerate(values.items())
    )
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 540 {50 + 26 * len(values)}" font-family="sans-serif" font-size="11">'
        f'<rect width="540" height="{50 + 26 * len(values)}" fill="#fff"/><text x="8" y="20" font-size="13">{title} (logarithmic)</text>{rows}</svg>\n',
        encoding="utf-8",
    )
