"""What is measured beside a run: a budget's plan, the learning-rate range, the coordinate check; each prints a table and leaves JSON and a plot.

It knows how figures are shown and kept. It refuses to train a model that is kept.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, cast

import torch
from rich.console import Console
from rich.progress import Progress, track
from rich.table import Table

from slipway_training.errors import ConfigError, StackMissing
from slipway_training.pretrain import coords, planner, transfer
from slipway_training.pretrain.config import PretrainConfig
from slipway_training.pretrain.model import build
from slipway_training.pretrain.network import Network
from slipway_training.pretrain.optim import make_optimizers, set_rates
from slipway_training.pretrain.order import Order
from slipway_training.pretrain.rows import find_rows
from slipway_training.pretrain.speed import peak_flops, with_precision

BROKEN_OUT = 1.5
"""A loss this many nats above the best so far has broken out."""
SMOOTHING = 0.8
HIGHEST_DRAWN = 10.0
"""Nats a token at which a run that diverged is drawn."""


def budget(console: Console, flops: float, hours: float, devices: int, peak: float, mfu: float, price: float, out: Path) -> None:
    """The planner's table and plot; raises ConfigError without a budget."""
    peak = peak or peak_flops(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    flops = flops or hours * 3600 * devices * peak * mfu
    if flops <= 0:
        raise ConfigError("give --flops, or --hours (with --devices, --peak, --mfu)")
    best = planner.optimal(flops)
    spent = flops / (devices * peak * mfu) / 3600
    table = Table("parameters", "tokens", "tokens a parameter", "loss (law)", title=f"{flops:.3g} training FLOPs", title_justify="left")
    for choice in sorted([best, *planner.choices(flops)], key=lambda c: c.parameters):
        mark = " *" if choice is best else ""
        table.add_row(
            f"{choice.parameters:,.0f}{mark}", f"{choice.tokens:,.0f}", f"{choice.tokens_per_parameter:.0f}", f"{choice.loss:.3f}"
        )
    console.print(table)
    cost = f", {spent * devices * price:,.2f} at {price:g} an hour" if price else ""
    console.print(f"* compute-optimal. {spent:,.1f} h on {devices} device(s) of {peak:.3g} FLOP/s at {mfu:.0%}{cost}", highlight=False)
    ratios = [10 ** (i / 10) for i in range(25)]
    found = planner.choices(flops, ratios)
    _keep(out, "plan", [asdict(c) for c in [best, *planner.choices(flops)]])
    _plot(
        out / "plan.svg",
        "parameters",
        "loss (nats a token, by the law)",
        [("same FLOPs", [c.parameters for c in found], [c.loss for c in found])],
    )


def learning_rate_range(console: Console, config: Any, low: float, high: float, steps: int, out: Path) -> float:
    """The range test (Smith 2015, arXiv 1506.01186) on the recipe's model and rows; returns a third of the rate of the least loss. Raises ConfigError."""
    config = with_precision(cast("PretrainConfig", config), torch.device("cpu"))
    if not 0 < low < high:
        raise ConfigError(f"--low {low:g} must be above 0 and below --high {high:g}")
    torch.set_num_threads(config.run.threads)
    rows = find_rows(config.data, out, config.run.seed)
    packed = rows.packed
    network = Network(build(config.model, config.model.vocab_size or packed.vocab_size, packed.context, rows.end, 0, config.run.seed))
    optimizers = make_optimizers(network, config.model, config.optim)
    order = Order(packed.lengths_by_stage, held_out=1, seed=config.run.seed)
    taken: list[tuple[float, float]] = []
    smooth, best = 0.0, math.inf
    for index in track(range(steps), "rates", console=console):
        rate = low * (high / low) ** (index / (steps - 1))
        set_rates(optimizers, rate / config.optim.learning_rate)
        ids = torch.from_numpy(packed.rows(order.take(index * config.optim.micro_rows, config.optim.micro_rows))).long()
        loss = _update(network, optimizers, ids, config.optim.clip_norm, bf16=config.run.precision == "bf16")
        smooth = SMOOTHING * smooth + (1 - SMOOTHING) * loss
        shown = smooth / (1 - SMOOTHING ** (index + 1))
        taken.append((rate, shown))
        best = min(best, shown)
        if not math.isfinite(loss) or shown > best + BROKEN_OUT:
            break
    chosen = min(taken, key=lambda t: t[1])[0] / 3
    console.print(f"least loss at {chosen * 3:.2g}; a third of it, {chosen:.2g}, is a rate to start from", highlight=False)
    _keep(out, "lr-range", [{"learning_rate": r, "loss": v} for r, v in taken])
    _plot(out / "lr-range.svg", "learning rate", "smoothed loss", [(config.name, [r for r, _ in taken], [v for _, v in taken])])
    return chosen


def coordinate_check(
    console: Console, widths: Sequence[int], steps: int, seeds: int, rate: float, out: Path, optimizer: Literal["adamw", "muon"] = "adamw"
) -> list[coords.Point]:
    """The coordinate check of both forms; prints how sizes grow with width. Raises ConfigError."""
    if len(widths) < 2 or any(w % coords.HEAD_WIDTH for w in widths):
        raise ConfigError(f"--widths needs two or more multiples of {coords.HEAD_WIDTH}")
    torch.set_num_threads(1)
    todo = [(form, width, seed) for form in ("standard", "mup") for width in widths for seed in range(seeds)]
    points = [
        point
        for form, width, seed in track(todo, "models", console=console)
        for point in coords.measure(form, width, seed, steps, rate, widths[0], optimizer)
    ]
    what = sorted({p.what for p in points})
    table = Table(
        "activation",
        "standard",
        "mup",
        title=f"slope of log change over log width after {steps} steps of {optimizer}",
        title_justify="left",
    )
    for name in what:
        table.add_row(name, *(f"{coords.growth(points, form, name, steps):+.2f}" for form in ("standard", "mup")))
    console.print(table)
    lines = [
        (
            f"{form}, {name}",
            list(widths),
            [_mean([p.size for p in points if (p.form, p.what, p.step, p.width) == (form, name, steps, w)]) for w in widths],
        )
        for form in ("standard", "mup")
        for name in what
    ]
    _keep(out, "coord-check", [asdict(p) for p in points])
    _plot(out / "coord-check.svg", "width", f"change after {steps} steps (RMS)", lines)
    return points


def transfer_check(
    console: Console, config: Any, widths: Sequence[int], rates: Sequence[float], seeds: int, forms: Sequence[str], out: Path
) -> list[transfer.Trial]:
    """Short runs over widths and rates, with muP and without; prints the best rate of every width and how it moves. Raises ConfigError."""
    config = cast("PretrainConfig", config)
    with Progress(console=console) as bar:
        task = bar.add_task("runs", total=len(widths) * len(rates) * seeds * len(forms))

        def say(one: transfer.Trial) -> None:
            bar.update(task, advance=1, description=f"{one.form} {one.width} at {one.rate:.2g}: {one.loss:.3f}")

        trials = transfer.sweep(config, widths, rates, seeds, forms, say)
    _keep(out, "transfer", [asdict(t) for t in trials])
    show_transfer(console, trials, out)
    return trials


def show_transfer(console: Console, trials: Sequence[transfer.Trial], out: Path) -> None:
    """Table and plot of `trials`."""
    forms, widths, rates = ([*dict.fromkeys(getattr(t, name) for t in trials)] for name in ("form", "width", "rate"))
    table = Table("width", *forms, title="learning rate of the least held-out loss", title_justify="left")
    for width in widths:
        table.add_row(str(width), *(f"{transfer.best_rate(trials, f, width):.2e} ({_least(trials, f, width):.3f} nats)" for f in forms))
    table.add_row("slope over log width", *(f"{transfer.drift(trials, f):+.2f}" for f in forms))
    table.add_row("lost at the narrowest one's rate", *(f"{transfer.lost(trials, f):.3f} nats" for f in forms))
    console.print(table)
    lines = [
        (f"{form}, {width}", rates, [min(transfer.mean_loss(trials, form, width, r), HIGHEST_DRAWN) for r in rates])
        for form in forms
        for width in widths
    ]
    _plot(out / "transfer.svg", "learning rate at the first width", "held-out loss (nats a token)", lines)


def _least(trials: Sequence[transfer.Trial], form: str, width: int) -> float:
    return min(transfer.mean_loss(trials, form, width, t.rate) for t in trials if (t.form, t.width) == (form, width))


def _update(network: Network, optimizers: list[torch.optim.Optimizer], ids: torch.Tensor, clip: float, *, bf16: bool) -> float:
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        loss: torch.Tensor = network(ids)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), clip)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return float(loss.detach())


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _keep(out: Path, name: str, rows: list[dict[str, Any]]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")


def _plot(path: Path, x: str, y: str, lines: Sequence[tuple[str, Sequence[float], Sequence[float]]]) -> None:
    try:
        import matplotlib
    except ImportError as error:
        raise StackMissing("matplotlib") from error
    matplotlib.use("svg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axis: Any = figure.subplots()
    draw: Callable[..., Any] = axis.plot
    for name, xs, ys in lines:
        draw(xs, ys, marker=".", linewidth=1.1, label=name)
    axis.set_xscale("log")
    axis.set_yscale("log" if max(max(ys) for _, _, ys in lines) > 8 * min(min(ys) for _, _, ys in lines) else "linear")
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    axis.legend(fontsize=7)
    axis.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None})
