"""The plots of a portfolio: differences with their intervals, loss over learning rate by width, and what flavors cost.

It knows matplotlib's file backend. It refuses to know how figures were measured.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slipway_training.errors import StackMissing
from slipway_training.portfolio.flavors import Cost
from slipway_training.portfolio.intervals import Gap
from slipway_training.portfolio.legs import Finished


def draw_gaps(gaps: Mapping[str, Gap], path: Path) -> None:
    """Each leg's difference to the full recipe: left of zero is better."""
    figure = _figure(6.4, 0.36 * len(gaps) + 1.0)
    axis = figure.subplots()
    rows = list(gaps.items())[::-1]
    for place, (_, gap) in enumerate(rows):
        better = gap.high < 0
        colour = "tab:green" if better else "tab:red" if gap.low > 0 else "grey"
        spread = [[gap.mean - gap.low], [gap.high - gap.mean]] if gap.n > 1 else None
        axis.errorbar([gap.mean], [place], xerr=spread, marker="o", capsize=3, color=colour)
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set_yticks(range(len(rows)), [name for name, _ in rows])
    axis.set_xlabel("held-out loss beside the full recipe, nats a token (95 % t interval over seeds)")
    axis.grid(alpha=0.3, axis="x")
    _save(figure, path)


def draw_transfer(points: Mapping[tuple[str, int, float], Finished], path: Path) -> None:
    """Held-out loss over the learning rate, a line a width: standard on the left, muP on the right."""
    figure = _figure(7.2, 3.2)
    axes: Sequence[Any] = figure.subplots(1, 2, sharey=True)
    for axis, form in zip(axes, ("standard", "mup"), strict=True):
        for width in sorted({w for f, w, _ in points if f == form}):
            line = sorted((rate, done.held_out) for (f, w, rate), done in points.items() if (f, w) == (form, width))
            axis.plot([x for x, _ in line], [y for _, y in line], marker="o", label=f"width {width}")
            best = min(line, key=lambda point: point[1])
            axis.plot(*best, marker="*", color="black", markersize=10, linestyle="")
        axis.set_xscale("log")
        axis.set_title(form, fontsize=9)
        axis.set_xlabel("learning rate at the first width")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
    axes[0].set_ylabel("held-out loss")
    _save(figure, path)


def draw_costs(costs: Mapping[str, Sequence[Cost]], path: Path) -> None:
    """Size on disk and memory, time to load, reading and writing speed of each flavor; a row a model."""
    figure = _figure(10.0, 2.3 * len(costs) + 0.4)
    grid: Any = figure.subplots(len(costs), 4, squeeze=False)
    for row, (model, flavors) in zip(grid, costs.items(), strict=True):
        names = [c.flavor for c in flavors]
        row[0].bar(names, [c.rss_mb for c in flavors], alpha=0.4, label="resident")
        row[0].bar(names, [c.bytes / 2**20 for c in flavors], 0.5, label="file")
        row[0].legend(fontsize=6)
        row[1].bar(names, [c.load_ms for c in flavors])
        row[2].bar(names, [c.prefill_tokens_per_second for c in flavors])
        row[3].bar(names, [c.decode_tokens_per_second for c in flavors])
        for axis, title in zip(row, ("MiB", "load, ms", "prompt tokens/s", "written tokens/s"), strict=True):
            axis.set_title(f"{model}: {title}", fontsize=8)
            axis.tick_params(labelsize=7)
            axis.grid(alpha=0.3, axis="y")
    _save(figure, path)


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise StackMissing("matplotlib") from error
    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
