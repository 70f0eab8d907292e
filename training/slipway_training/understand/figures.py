"""The plots of a study. Each function draws one file.

It knows matplotlib's file backend and the results' shapes. It refuses to know models.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slipway_training.errors import StackMissing
from slipway_training.understand.ablation import Ablations
from slipway_training.understand.lens import Lens
from slipway_training.understand.probe import Probed
from slipway_training.understand.trace import Profiled

SHOWN_TOKENS = 24
SHOWN_OPERATORS = 14


def draw_lens(lens: Lens, layers: dict[str, list[float]], path: Path) -> None:
    """Left: one text, layers upward, each cell the likeliest token, shaded by the probability of the final one. Right: the mean over all texts."""
    count, height = min(len(lens.tokens), SHOWN_TOKENS), len(lens.said)
    figure = _figure(max(7.0, 0.62 * count + 4.2), max(3.0, 0.34 * height + 1.6))
    left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": [max(2.0, count / 7), 1]})
    image = left.imshow(lens.probability[:, :count], aspect="auto", origin="lower", vmin=0, vmax=1, cmap="Blues")
    for layer in range(height):
        for place in range(count):
            dark = lens.probability[layer, place] > 0.6
            left.text(
                place, layer, _short(lens.said[layer][place]), ha="center", va="center", fontsize=5.5, color="white" if dark else "black"
            )
    left.set_xticks(range(count), [_short(token) for token in lens.tokens[:count]], rotation=60, fontsize=6)
    left.set_yticks(range(height), [_layer(i) for i in range(height)], fontsize=6)
    left.set_title("likeliest token after each layer", fontsize=9)
    figure.colorbar(image, ax=left, label="probability of the final token", fraction=0.03)
    right.plot(layers["probability"], range(height), marker="o", label="probability of the final token")
    right.plot(layers["agreement"], range(height), marker="s", label="share where it leads")
    right.set_xlim(-0.02, 1.02)
    right.set_yticks(range(height), [_layer(i) for i in range(height)], fontsize=6)
    right.grid(alpha=0.3)
    right.legend(fontsize=6)
    right.set_title("over all texts", fontsize=9)
    _save(figure, path)


def draw_probe(probed: Sequence[Probed], common: float, path: Path, untrained: Sequence[Probed] = ()) -> None:
    """Accuracy by layer with its interval, the shuffled-label control, the commonest label, and the untrained model where it was probed."""
    figure = _figure(6.4, 3.6)
    axis = figure.subplots()
    layers = [p.layer for p in probed]
    spread = [[p.accuracy.mean - p.accuracy.low for p in probed], [p.accuracy.high - p.accuracy.mean for p in probed]]
    axis.errorbar(layers, [p.accuracy.mean for p in probed], yerr=spread, marker="o", capsize=2, label="probe, 95 % interval")
    if untrained:
        axis.plot(layers, [p.accuracy.mean for p in untrained], marker="^", linestyle="--", label="untrained weights")
    axis.plot(layers, [p.control for p in probed], marker="x", linestyle=":", label="shuffled labels")
    axis.axhline(common, color="grey", linewidth=0.8, label="commonest label")
    axis.set_xticks(layers, [_layer(i) for i in layers], fontsize=7)
    axis.set_ylim(0, 1.03)
    axis.set_ylabel("accuracy")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=7)
    _save(figure, path)


def draw_ablations(found: Ablations, path: Path) -> None:
    """Heads as a heatmap (layer by head), whole sublayers as bars, and the tried neurons in falling order."""
    heads = [e for e in found.effects if e.part.kind == "head"]
    grid = np.zeros((1 + max(e.part.layer for e in heads), 1 + max(e.part.index for e in heads)))
    for effect in heads:
        grid[effect.part.layer, effect.part.index] = effect.rise.mean
    figure = _figure(10.5, max(3.2, 0.3 * len(grid) + 1.4))
    left, middle, right = figure.subplots(1, 3)
    bound = max(1e-6, float(np.abs(grid).max()))
    image = left.imshow(grid, aspect="auto", origin="lower", cmap="RdBu_r", vmin=-bound, vmax=bound)
    left.set_xlabel("head")
    left.set_ylabel("layer")
    left.set_xticks(range(grid.shape[1]))
    left.set_yticks(range(len(grid)), [str(i + 1) for i in range(len(grid))])
    left.set_title(f"heads, {found.fill} filled", fontsize=9)
    figure.colorbar(image, ax=left, label="loss rise, nats a token")
    for offset, kind in ((-0.2, "attention"), (0.2, "mlp")):
        chosen = [e for e in found.effects if e.part.kind == kind]
        spread = [[e.rise.mean - e.rise.low for e in chosen], [e.rise.high - e.rise.mean for e in chosen]]
        middle.barh([e.part.layer + 1 + offset for e in chosen], [e.rise.mean for e in chosen], 0.38, xerr=spread, label=kind)
    middle.set_title("whole sublayers", fontsize=9)
    middle.set_xlabel("loss rise")
    middle.legend(fontsize=7)
    _draw_neurons(right, found)
    _save(figure, path)


def draw_profile(profiled: Profiled, path: Path) -> None:
    """The operators that cost most, by share of own time."""
    top = profiled.operators[:SHOWN_OPERATORS][::-1]
    figure = _figure(7.4, 0.27 * len(top) + 1.2)
    axis = figure.subplots()
    axis.barh([_short(op.name, 44) for op in top], [100 * op.share for op in top])
    axis.set_xlabel("% of own time")
    axis.tick_params(axis="y", labelsize=7)
    what = "training step" if profiled.trained else "forward pass"
    axis.set_title(f"{what} of {profiled.tokens} tokens, {1e3 * profiled.seconds:.0f} ms", fontsize=9)
    _save(figure, path)


def _draw_neurons(axis: Any, found: Ablations) -> None:
    neurons = sorted((e for e in found.effects if e.part.kind == "neuron"), key=lambda e: -e.rise.mean)
    axis.plot([e.rise.mean for e in neurons], marker=".", label="measured")
    axis.plot([e.estimate or 0.0 for e in neurons], linestyle="", marker="x", markersize=3, label="first-order estimate (zeroing)")
    axis.set_title("neurons that were tried", fontsize=9)
    axis.set_xlabel("in falling order")
    axis.legend(fontsize=7)
    axis.grid(alpha=0.3)


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise StackMissing("matplotlib") from error
    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Any, path: Path) -> None:
    """By the suffix, .svg or .png; the same figures give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130, metadata={"Date": None} if path.suffix == ".svg" else None)


def _short(text: str, most: int = 9) -> str:
    """Cut to `most` characters; `$` would start a formula."""
    return (text if len(text) <= most else text[: most - 1] + "…").replace("$", r"\$")


def _layer(index: int) -> str:
    return str(index) if index else "embed"
