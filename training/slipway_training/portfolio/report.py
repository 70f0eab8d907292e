"""The report of a portfolio: one page of Markdown with its plots, and every number as JSON.

It knows sentences and tables. It refuses to know how anything was measured; what was left out is said.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from slipway_training.evaluation.scores import Figure
from slipway_training.portfolio.figures import draw_costs, draw_gaps, draw_transfer
from slipway_training.portfolio.flavors import Cost
from slipway_training.portfolio.intervals import Gap, paired_gap, t_interval
from slipway_training.portfolio.legs import Made
from slipway_training.portfolio.plan import FULL, Plan

COMMAND = "python -m slipway_training portfolio pretrain"


@dataclass(frozen=True, slots=True)
class Served:
    """What serving costs: by model name its flavors, and the small model's loss of each flavor over its f16 parent."""

    costs: dict[str, list[Cost]] = field(default_factory=dict[str, list[Cost]])
    gaps: dict[str, Figure] = field(default_factory=dict[str, Figure])


def gaps_of(made: Made) -> dict[str, Gap]:
    """Every leg's held-out loss minus the full recipe's, paired by seed."""
    full = {seed: run.held_out for seed, run in made.legs.get(FULL, {}).items()}
    found = {name: paired_gap({seed: run.held_out for seed, run in runs.items()}, full) for name, runs in made.legs.items() if name != FULL}
    return {name: gap for name, gap in found.items() if gap is not None}


def write_report(to: Path, plan: Plan, made: Made, large: Sequence[tuple[str, str]], served: Served) -> str:
    """README.md, results.json and the plots in `to`; returns the page."""
    gaps = gaps_of(made)
    parts = ["# The pretrain recipe in small", _opening(plan, made)]
    if gaps:
        draw_gaps(gaps, to / "ablations.svg")
        parts += ["## One change at a time", _legs(plan, made, gaps), "![Differences to the full recipe](ablations.svg)"]
    if made.transfer:
        draw_transfer(made.transfer, to / "transfer.svg")
        parts += ["## Learning rate over width", _transfer(made), "![Loss over learning rate](transfer.svg)"]
    parts += ["## The large form", _large(large)]
    if served.costs:
        draw_costs(served.costs, to / "flavors.svg")
        parts += ["## Flavors on this machine", _served(served), "![What flavors cost](flavors.svg)"]
    page = "\n\n".join(parts) + "\n"
    to.mkdir(parents=True, exist_ok=True)
    (to / "README.md").write_text(page, encoding="utf-8")
    (to / "results.json").write_text(json.dumps(_plain(made, gaps, large, served), indent=1) + "\n", encoding="utf-8")
    return page


def _opening(plan: Plan, made: Made) -> str:
    full = made.legs.get(FULL, {})
    first = next(iter(full.values()), None)
    size = f"{first.parameters:,} parameters, {first.tokens:,} tokens a run" if first else "no finished run"
    seconds = sum(run.seconds for runs in made.legs.values() for run in runs.values()) + sum(run.seconds for run in made.transfer.values())
    left = f" Left out for want of time: {', '.join(made.left_out)}." if made.left_out else ""
    return (
        f"Made by `{COMMAND}`. {size}; seeds {', '.join(map(str, plan.seeds))}; {seconds / 60:.0f} minutes of training in all. At this size an ablation says "
        f"which way a change points for a small model and a short run, not what it is worth at 300M parameters.{left}"
    )


def _legs(plan: Plan, made: Made, gaps: Mapping[str, Gap]) -> str:
    rows = ["| leg | change | parameters | seeds | held-out loss | difference, 95 % | s |", "|---|---|--:|--:|--:|--:|--:|"]
    for name, runs in made.legs.items():
        several = list(runs.values())
        mean = t_interval([run.held_out for run in several]).mean
        change = "; ".join(f"`{c}`" for c in plan.legs[name].change) or plan.legs[name].asks
        seconds = sum(run.seconds for run in several) / len(several)
        gap = gaps.get(name)
        rows.append(
            f"| {name} | {change} | {several[0].parameters:,} | {len(several)} | {mean:.4f} "
            f"| {gap or ''}{' *' if gap and gap.sure else ''} | {seconds:.0f} |"
        )
    full = [run.held_out for run in made.legs.get(FULL, {}).values()]
    spread = f" The full recipe alone goes from {min(full):.4f} to {max(full):.4f} over its seeds: a difference of one seed that is smaller says nothing."
    note = (
        "\\* the interval leaves out zero. Differences are paired by seed: the same rows in the same order. "
        "Every leg has the learning rate of the full recipe: one that wants another is shown worse than it could be."
        + (spread if len(full) > 1 else "")
    )
    return "\n".join([*rows, "", note])


def _transfer(made: Made) -> str:
    rows = ["| form | width | best rate | held-out loss there |", "|---|--:|--:|--:|"]
    for form, width in sorted({(f, w) for f, w, _ in made.transfer}):
        rate, best = min(((r, run.held_out) for (f, w, r), run in made.transfer.items() if (f, w) == (form, width)), key=lambda x: x[1])
        rows.append(f"| {form} | {width} | {rate:g} | {best:.4f} |")
    return "\n".join(rows) + "\n\nRates are those of the first width; muP divides a wider model's by the ratio of widths. One seed a point."


def _large(large: Sequence[tuple[str, str]]) -> str:
    rows = [
        "`slipway train pretrain --config training/recipes/pretrain/config.300m.yaml --dry-run` says on this machine:",
        "",
        "| | |",
        "|---|---|",
    ]
    return "\n".join([*rows, *(f"| {what} | {value} |" for what, value in large)])


def _served(served: Served) -> str:
    rows = [
        "| model | flavor | file, MiB | resident, MiB | load, ms | prompt tokens/s | written tokens/s |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for model, costs in served.costs.items():
        rows += [
            f"| {model} | {c.flavor} | {c.bytes / 2**20:,.1f} | {c.rss_mb:,.0f} | {c.load_ms:,.0f} | {c.prefill_tokens_per_second:,.0f} "
            f"| {c.decode_tokens_per_second:,.1f} |"
            for c in costs
        ]
    loss = [f"{flavor} {gap.mean:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]" for flavor, gap in served.gaps.items()]
    told = (
        f"\n\nLoss over the f16 parent on the small model's held-out rows, nats a token, paired by row: {'; '.join(loss)}." if loss else ""
    )
    return "\n".join(rows) + "\n\nMedians of three processes through llama.cpp, one thread." + told


def _plain(made: Made, gaps: Mapping[str, Gap], large: Sequence[tuple[str, str]], served: Served) -> dict[str, object]:
    return {
        "legs": {n: {str(s): run.model_dump(mode="json", exclude={"config"}) for s, run in runs.items()} for n, runs in made.legs.items()},
        "differences": {name: [gap.mean, *((gap.low, gap.high) if gap.n > 1 else ()), gap.n] for name, gap in gaps.items()},
        "transfer": [{"form": f, "width": w, "rate": r, "held_out": run.held_out} for (f, w, r), run in made.transfer.items()],
        "left_out": made.left_out, "large": dict(large), "flavors": {m: [asdict(c) for c in costs] for m, costs in served.costs.items()},
        "flavor_loss": {flavor: [gap.mean, gap.low, gap.high, gap.n] for flavor, gap in served.gaps.items()},
    }  # fmt: skip
