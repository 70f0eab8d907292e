"""The coordinate check (Yang et al. 2022, arXiv 2203.03466, appendix D.1): how much activations move in the first steps, over width.

It knows muP's prediction: with it the movement does not depend on width, without it it grows. It refuses to draw and to print.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from slipway_training.pretrain.config import ModelConfig, OptimConfig
from slipway_training.pretrain.model import build
from slipway_training.pretrain.network import Network
from slipway_training.pretrain.optim import make_optimizers, set_rates

HEAD_WIDTH = 16
"""Kept over all widths, so that attention's 1/sqrt(head width) is a constant."""
VOCABULARY, CONTEXT, LAYERS, ROWS = 256, 32, 3, 8


@dataclass(frozen=True, slots=True)
class Point:
    """Root mean square of what an activation changed since the start: of `what` after `step` steps at `width`."""

    form: str
    width: int
    seed: int
    step: int
    what: str
    size: float


def measure(
    form: str, width: int, seed: int, steps: int, rate: float, base: int, optimizer: Literal["adamw", "muon"] = "adamw"
) -> list[Point]:
    """Train one small model for `steps` steps on one batch; `form` is "mup" or "standard". `rate` is the learning rate at the width `base`."""
    shape = ModelConfig(
        width=width, layers=LAYERS, heads=width // HEAD_WIDTH, kv_heads=width // HEAD_WIDTH, mlp_width=2 * width, tied=False,
        init="mup" if form == "mup" else "normal", base_width=base, init_std=0.05,
    )  # fmt: skip
    network = Network(build(shape, VOCABULARY, CONTEXT, 0, 0, seed))
    optimizers = make_optimizers(
        network, shape, OptimConfig(optimizer=optimizer, learning_rate=rate, muon_learning_rate=rate, weight_decay=0.0)
    )
    set_rates(optimizers, 1.0)
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(0, VOCABULARY, (ROWS, CONTEXT + 1), generator=generator)
    before = _activations(network, rows)
    points: list[Point] = []
    for step in range(1, steps + 1):
        loss: Tensor = network(rows)
        loss.backward()
        for each in optimizers:
            each.step()
            each.zero_grad(set_to_none=True)
        now = _activations(network, rows)
        points += [Point(form, width, seed, step, what, float((now[what] - before[what]).pow(2).mean().sqrt())) for what in now]
    return points


def growth(points: Sequence[Point], form: str, what: str, step: int) -> float:
    """Slope of log size over log width: 0 is flat, 0.5 grows with the root of the width, 1 with the width."""
    chosen = [p for p in points if (p.form, p.what, p.step) == (form, what, step)]
    xs, ys = [math.log(p.width) for p in chosen], [math.log(max(p.size, 1e-12)) for p in chosen]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / sum((x - mean_x) ** 2 for x in xs)


@torch.no_grad()
def _activations(network: Network, rows: Tensor) -> dict[str, Tensor]:
    done = network.llama(input_ids=rows[:, :-1], output_hidden_states=True, use_cache=False)
    return {**{f"layer {i}": h.float() for i, h in enumerate(done.hidden_states[1:], 1)}, "logits": done.logits.float()}
