"""What a run will cost on this machine, told before it starts.

It knows parameters, tokens and memory by arithmetic, and hours from a short measured probe of real steps. It refuses to start anything.
"""

import time
from dataclasses import dataclass

import numpy as np
import torch

from slipway_training.config import OptimConfig, ReaderConfig
from slipway_training.costs import ending
from slipway_training.loop import losses, make_optimizer
from slipway_training.model import build_model, parameter_count
from slipway_training.sampler import Batch

PROBE_STEPS = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """`memory_mb` is weights, gradients, two moments and an estimate of activations; `seconds`, without run.minutes, come from the probe."""

    parameters: int
    tokens: int
    tokens_per_parameter: float
    memory_mb: float
    tokens_per_second: float
    seconds: float
    gigaflops: float


def make_plan(config: ReaderConfig) -> Plan:
    """Measure a few steps on random rows of the last stage's length and extrapolate."""
    count = parameter_count(config.model)
    rate = probe(config)
    # Kaplan et al. 2020 (arXiv 2001.08361): 6 FLOPs per parameter and token; the input embedding costs none.
    inner = count - config.model.vocab_size * config.model.width
    activations = config.optim.batch_tokens * config.model.layers * (34 * config.model.width + 6 * config.model.mlp_width) * 4 / 2**20
    return Plan(
        parameters=count, tokens=config.data.tokens, tokens_per_parameter=config.data.tokens / count,
        memory_mb=count * 16 / 2**20 + activations, tokens_per_second=rate, seconds=config.data.tokens / rate, gigaflops=6 * inner * rate / 1e9,
    )  # fmt: skip


def reader_rows(config: ReaderConfig) -> list[tuple[str, str]]:
    """The plan as (what, value) rows."""
    plan = make_plan(config)
    return [
        ("parameters", f"{plan.parameters:,}"),
        ("training tokens", f"{plan.tokens:,} ({plan.tokens_per_parameter:.1f} a parameter)"),
        ("memory", f"about {plan.memory_mb:,.0f} MB"),
        ("measured here", f"{plan.tokens_per_second:,.0f} tokens/s, {plan.gigaflops:.0f} GFLOP/s, {config.run.threads} thread(s)"),
        *ending(plan.seconds, config.run.price_per_hour, "run.price_per_hour", config.run.minutes),
    ]


def probe(config: ReaderConfig) -> float:
    """Tokens per second of real optimizer steps, the first (warm-up) not counted."""
    torch.set_num_threads(config.run.threads)
    model = build_model(config.model, eos=1, pad=0, seed=config.run.seed)
    model.train()
    optimizer = make_optimizer(model, config.optim)
    batch = random_batch(config)
    times: list[float] = []
    for _ in range(PROBE_STEPS + 1):
        start = time.monotonic()
        _step(model, optimizer, batch, config.optim)
        times.append(time.monotonic() - start)
    return batch.size / (sum(times[1:]) / PROBE_STEPS)


def random_batch(config: ReaderConfig) -> Batch:
    """Rows of random tokens, a quarter of them answers, as long as the last stage's rows are on average (half of its bound)."""
    rng = np.random.default_rng(config.run.seed)
    length = max(32, config.data.stages[-1].max_tokens // 2)
    rows = max(1, config.optim.batch_tokens // length)
    tokens = rng.integers(0, config.model.vocab_size, (rows, length))
    target = np.zeros((rows, length), np.bool_)
    target[:, -length // 4 :] = True
    positions = np.broadcast_to(np.arange(length), (rows, length)).copy()
    return Batch(tokens, np.zeros((rows, length), np.int64), positions, target, rows * length)


def _step(model: "torch.nn.Module", optimizer: torch.optim.Optimizer, batch: Batch, optim: OptimConfig) -> None:
    answer, _, _ = losses(model, batch, optim, 1.0)  # type: ignore[arg-type]
    optimizer.zero_grad(set_to_none=True)
    answer.backward()
    optimizer.step()
