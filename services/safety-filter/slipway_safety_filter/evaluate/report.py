"""The report as Markdown with SVG plots beside it. It refuses to measure."""

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
