# ruff: noqa: T201
"""From rounds to a table, JSON and a plot: best, median and interquartile range of each figure, and ratios to ours. It refuses to know how rounds came about."""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

HIGHER_IS_BETTER = ("requests/s c32", "stall-free streams", "bytes identical %", "stream bytes identical %")
PLOTTED = ("CPU us per request", "CPU us per paced frame", "c1 p50 us")
OURS = ("slipway", "slipway + safety")


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of `values` lies (nearest rank); 0 for none."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else 0.0


def summary(figures: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    """Best, median and quartiles of each figure."""
    out: dict[str, dict[str, float]] = {}
    for name, values in figures.items():
        best = max(values) if name in HIGHER_IS_BETTER else min(values)
        low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
        out[name] = {"best": best, "median": middle, "q1": low, "q3": high, "rounds": len(values)}
    return out


def ratios(summaries: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """What the targets are about, by `PEER / OURS`: medians of CPU per request and frame, latency added to the direct way, cold start, memory."""
    direct = summaries["direct"]["c1 p50 us"]["median"]
    out: dict[str, dict[str, float]] = {}
    for mine in OURS:
        for peer, theirs in summaries.items():
            if peer in (*OURS, "direct") or mine not in summaries:
                continue
            own = summaries[mine]
            found = {
                name: theirs[name]["median"] / own[name]["median"]
                for name in ("CPU us per request", "CPU us per paced frame", "cold start s", "RSS MB")
                if name in theirs and own.get(name, {"median": 0})["median"]
            }
            found["added c1 p50"] = (theirs["c1 p50 us"]["median"] - direct) / max(1.0, own["c1 p50 us"]["median"] - direct)
            out[f"{peer} / {mine}"] = found
    return out


def write(results: Mapping[str, Any], folder: Path) -> None:
    """Prints the table, and writes it with the JSON and the plot into `folder`."""
    summaries = {name: summary(one["figures"]) for name, one in results.items()}
    compared = ratios(summaries)
    text = table(summaries) + _ratio_table(compared)
    text += "".join(f"\n{name}: {note}" for name, one in results.items() for note in one["notes"])
    print(text)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gateway.md").write_text(text + "\n")
    (folder / "gateway.json").write_text(json.dumps({"results": results, "summary": summaries, "ratios": compared}, indent=1))
    draw(summaries, folder / "gateway.svg")
    print(f"\n{folder}/gateway.json, .md, .svg")


def table(summaries: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """A line a figure, a column a contender: median (best; interquartile range)."""
    names = list(dict.fromkeys(name for one in summaries.values() for name in one))
    lines = ["| median (best; quartiles) | " + " | ".join(summaries) + " |", "|---" * (len(summaries) + 1) + "|"]
    for name in names:
        lines.append(f"| {name} | " + " | ".join(_cell(one.get(name)) for one in summaries.values()) + " |")
    return "\n".join(lines) + "\n"


def draw(summaries: Mapping[str, Mapping[str, Mapping[str, float]]], path: Path) -> None:
    """Medians with quartiles as bars on a logarithmic scale."""
    figure = Figure(figsize=(10, 3), layout="constrained")
    for axis, name in zip(figure.subplots(1, len(PLOTTED)), PLOTTED, strict=True):
        rows = [(who, one[name]) for who, one in summaries.items() if one.get(name, {"median": 0})["median"] > 0]
        middle = [row["median"] for _, row in rows]
        spread = [[row["median"] - row["q1"] for _, row in rows], [row["q3"] - row["median"] for _, row in rows]]
        axis.barh([who for who, _ in rows], middle, xerr=spread, color=["#1f6f8b" if who in OURS else "#aaaaaa" for who, _ in rows])
        axis.set_xscale("log")
        axis.invert_yaxis()
        axis.set_title(name, fontsize=10)
    figure.savefig(path, metadata={"Date": None})


def _cell(row: Mapping[str, float] | None) -> str:
    if row is None:
        return "-"
    return f"{row['median']:.4g}" if row["rounds"] == 1 else f"{row['median']:.4g} ({row['best']:.4g}; {row['q1']:.4g}-{row['q3']:.4g})"


def _ratio_table(compared: Mapping[str, Mapping[str, float]]) -> str:
    if not compared:
        return ""
    names = list(dict.fromkeys(name for one in compared.values() for name in one))
    lines = ["", "| medians | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    lines += [
        f"| {who} | " + " | ".join(f"{one[name]:.3g}" if name in one else "-" for name in names) + " |" for who, one in compared.items()
    ]
    return "\n".join(lines) + "\n"
