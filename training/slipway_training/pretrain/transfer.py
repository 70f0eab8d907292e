"""muP's promise, measured (Yang et al. 2022, arXiv 2203.03466, figure 1): the learning rate that is best on a narrow model is best on a wide one.

Every width is trained for a few hundred steps at every rate, with muP and without; the rate of the least held-out loss is compared over widths. It knows runs
of the pretraining loop and their losses. It refuses to know how a run is made.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from slipway_training.errors import ConfigError, TrainingError
from slipway_training.pretrain.config import PretrainConfig
from slipway_training.pretrain.recipe import open_loop
from slipway_training.pretrain.rows import find_rows

HEAD_WIDTH = 32
"""Of every model, so that attention's 1/sqrt(head width) is a constant."""
FORMS = ("standard", "mup")


@dataclass(frozen=True, slots=True)
class Trial:
    """One short run: its held-out loss in nats a token, infinite where it diverged."""

    form: str
    width: int
    rate: float
    seed: int
    loss: float


def trial(config: PretrainConfig, form: str, width: int, rate: float, seed: int, base: int) -> Trial:
    """Train `config`'s model at `width` and `rate` on its rows; nothing of it is kept. Raises DataMissing and ConfigError."""
    raw = config.model_dump()
    heads = width // HEAD_WIDTH
    raw["model"] |= {
        "width": width, "heads": heads, "kv_heads": heads, "mlp_width": 3 * width, "tied": False, "base_width": base,
        "init": "mup" if form == "mup" else "scaled",
    }  # fmt: skip
    raw["optim"] |= {"learning_rate": rate, "optimizer": "adamw", "spike": 0.0}
    raw["run"] |= {"seed": seed, "checkpoint_every_steps": 10**9, "eval_every_steps": 10**9, "monitor_every_steps": 10**9}
    typed = PretrainConfig.model_validate(raw)
    with TemporaryDirectory() as folder:
        rows = find_rows(typed.data, Path(folder), seed)
        loop = open_loop(typed, rows, Path(folder))
        try:
            loss = loop.train(lambda _step: None).held_out
        except TrainingError:
            loss = math.inf
    return Trial(form, width, rate, seed, loss if math.isfinite(loss) else math.inf)


def sweep(
    config: PretrainConfig, widths: Sequence[int], rates: Sequence[float], seeds: int, forms: Sequence[str], say: Callable[[Trial], None]
) -> list[Trial]:
    """Every width at every rate; muP's base width is the first. Raises ConfigError."""
    if len(widths) < 2 or any(w % HEAD_WIDTH for w in widths):
        raise ConfigError(f"--widths needs two or more multiples of {HEAD_WIDTH}")
    if len(rates) < 3:
        raise ConfigError("--rates needs three or more, or no best one can be told from the ends")
    if unknown := set(forms) - set(FORMS):
        raise ConfigError(f"--forms knows {' and '.join(FORMS)}, not {', '.join(sorted(unknown))}")
    done: list[Trial] = []
    for form in forms:
        for width in widths:
            for rate in rates:
                for seed in range(config.run.seed, config.run.seed + seeds):
                    done.append(trial(config, form, width, rate, seed, widths[0]))
                    say(done[-1])
    return done


def mean_loss(trials: Sequence[Trial], form: str, width: int, rate: float) -> float:
    """Over the seeds."""
    losses = [t.loss for t in trials if (t.form, t.width, t.rate) == (form, width, rate)]
    return sum(losses) / len(losses)


def best_rate(trials: Sequence[Trial], form: str, width: int) -> float:
    """The vertex of the parabola through the least loss and its two neighbours, over the logarithm of the rate; an end's own rate where it is an end."""
    rates = sorted({t.rate for t in trials if t.form == form})
    losses = [mean_loss(trials, form, width, rate) for rate in rates]
    at = min(range(len(rates)), key=lambda i: losses[i])
    if at in (0, len(rates) - 1) or not all(math.isfinite(loss) for loss in losses[at - 1 : at + 2]):
        return rates[at]
    (x0, x1, x2), (y0, y1, y2) = ([math.log(r) for r in rates[at - 1 : at + 2]], losses[at - 1 : at + 2])
    left, right = (y1 - y0) / (x1 - x0), (y2 - y1) / (x2 - x1)
    bend = (right - left) / (x2 - x0)
    return math.exp((x0 + x1) / 2 - left / (2 * bend)) if bend > 0 else rates[at]


def drift(trials: Sequence[Trial], form: str) -> float:
    """Slope of log best rate over log width: 0 means that the rate transfers, -1 that it falls with the width."""
    widths = sorted({t.width for t in trials if t.form == form})
    xs, ys = [math.log(w) for w in widths], [math.log(best_rate(trials, form, w)) for w in widths]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / sum((x - mean_x) ** 2 for x in xs)


def lost(trials: Sequence[Trial], form: str) -> float:
    """Nats that the widest model loses when it is trained at the narrowest one's best rate of the grid instead of its own."""
    widths = sorted({t.width for t in trials if t.form == form})
    rates = sorted({t.rate for t in trials if t.form == form})
    narrow = min(rates, key=lambda rate: mean_loss(trials, form, widths[0], rate))
    wide = [mean_loss(trials, form, widths[-1], rate) for rate in rates]
    return mean_loss(trials, form, widths[-1], narrow) - min(wide)
