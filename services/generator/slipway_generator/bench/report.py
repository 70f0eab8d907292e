"""From rounds to figures: medians, ratios, a table, JSON, and a plot as SVG. It refuses to know how rounds came about."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from slipway_generator.bench.measure import Round

Key = tuple[str, int, str]
HEADINGS = ("case", "streams", "tok/CPU-s", "tok/s", "TTFT p50 ms", "TTFT p99 ms", "gap p99 ms", "valid", "drafts right")
NO_RATIO = frozenset(("valid", "tokens", "drafted", "accepted"))
BETTER_HIGH = ("tokens_per_cpu_second", "tokens_per_second")


def figures(rounds: Sequence[Round]) -> dict[str, float]:
    """Medians over rounds; times are pooled over all streams of all rounds."""
    first = [one for each in rounds for one in each.first]
    gaps = [one for each in rounds for one in each.gaps]
    return {
        "tokens_per_cpu_second": statistics.median(each.tokens / max(each.cpu, 1e-9) for each in rounds),
        "tokens_per_second": statistics.median(each.tokens / each.wall for each in rounds),
        "ttft_p50_seconds": quantile(first, 0.5),
        "ttft_p99_seconds": quantile(first, 0.99),
        "gap_p50_seconds": quantile(gaps, 0.5),
        "gap_p99_seconds": quantile(gaps, 0.99),
        "valid": statistics.mean(each.valid for each in rounds),
        "tokens": float(sum(each.tokens for each in rounds)),
        "drafted": float(sum(each.drafted for each in rounds)),
        "accepted": float(sum(each.accepted for each in rounds)),
    }


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of `values` lies (nearest rank); 0 for none."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else 0.0


def summary(measured: Mapping[Key, Sequence[Round]], base: str) -> list[dict[str, Any]]:
    """One entry a case, number of streams and peer, with ratios to the peer `base`: above 1 is better, whatever the figure."""
    rows: list[dict[str, Any]] = []
    for (case, streams, peer), rounds in measured.items():
        own = figures(rounds)
        other = figures(measured[case, streams, base]) if (case, streams, base) in measured and peer != base else None
        ratios = {} if other is None else {name: _ratio(name, value, other[name]) for name, value in own.items() if name not in NO_RATIO}
        rows.append({"case": case, "streams": streams, "peer": peer, "rounds": len(rounds), "figures": own, "ratios": ratios})
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: a line a row, ratios in brackets."""
    lines = ["| peer | " + " | ".join(HEADINGS) + " |", "|---" * (len(HEADINGS) + 1) + "|"]
    for row in rows:
        own, ratios = row["figures"], row["ratios"]
        cells = [
            _cell(own["tokens_per_cpu_second"], ratios.get("tokens_per_cpu_second")),
            _cell(own["tokens_per_second"], ratios.get("tokens_per_second")),
            _cell(1000 * own["ttft_p50_seconds"], ratios.get("ttft_p50_seconds")),
            _cell(1000 * own["ttft_p99_seconds"], ratios.get("ttft_p99_seconds")),
            _cell(1000 * own["gap_p99_seconds"], ratios.get("gap_p99_seconds")),
        ]
        lines.append(
            f"| {row['peer']} | {row['case']} | {row['streams']} | " + " | ".join(cells) + f" | {own['valid']:.0%} | {_drafts(own)} |"
        )
    return "\n".join(lines) + "\n"


def plot(rows: Sequence[dict[str, Any]]) -> str:
    """Tokens per CPU-second as horizontal bars, as a self-contained SVG."""
    peak = max((row["figures"]["tokens_per_cpu_second"] for row in rows), default=1.0)
    colours = dict(zip(dict.fromkeys(row["peer"] for row in rows), ("#1f6f8b", "#c2703d", "#7a7a7a"), strict=False))
    bars: list[str] = []
    for at, row in enumerate(rows):
        value = row["figures"]["tokens_per_cpu_second"]
        y, width = 34 + 20 * at, 420 * value / peak
        label = f"{row['case']} x{row['streams']} {row['peer']}"
        bars.append(
            f'<text x="8" y="{y + 11}">{label}</text><rect x="190" y="{y}" width="{width:.1f}" height="14" fill="{colours.get(row["peer"], "#999")}"/>'
        )
        bars.append(f'<text x="{196 + width:.1f}" y="{y + 11}">{value:.0f}</text>')
    height = 50 + 20 * len(rows)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="700" height="{height}" font-family="sans-serif" font-size="11">'
    return (
        head + '<rect width="100%" height="100%" fill="#fff"/><text x="8" y="20">tokens per CPU-second</text>' + "".join(bars) + "</svg>\n"
    )


def _ratio(name: str, own: float, other: float) -> float:
    low, high = (other, own) if name in BETTER_HIGH else (own, other)
    return high / low if low else 0.0


def _drafts(own: Mapping[str, float]) -> str:
    """How many of the drafted tokens were right."""
    return f"{own['accepted']:.0f} of {own['drafted']:.0f}" if own["drafted"] else ""


def _cell(value: float, ratio: float | None) -> str:
    return f"{value:.1f}" if ratio is None else f"{value:.1f} ({ratio:.2f}x)"
