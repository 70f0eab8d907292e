"""What a pretraining run costs here, told before it starts: parameters, tokens, memory by arithmetic, hours from a short measured probe of real steps.

It refuses to write anything, and needs no data: the probe reads random ids.
"""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from slipway_training.costs import cost
from slipway_training.data.packed import open_packed
from slipway_training.device import device
from slipway_training.errors import DataMissing
from slipway_training.pretrain.config import PretrainConfig
from slipway_training.pretrain.lanes import Lanes, lanes_for
from slipway_training.pretrain.model import build, drop_layers, flops_per_token, parameter_count
from slipway_training.pretrain.network import Network
from slipway_training.pretrain.optim import make_optimizers, set_rates
from slipway_training.pretrain.planner import best_loss, optimal
from slipway_training.pretrain.rows import INVENTED_VOCABULARY
from slipway_training.pretrain.speed import peak_flops, with_precision

PROBE_STEPS = 3
PROBE_PARAMETERS = 60_000_000
"""Larger models are not built for a dry run on a CPU: their speed is extrapolated from the peak and PROBE_MFU."""
PROBE_MFU = 0.4
DEFAULT_VOCABULARY, DEFAULT_CONTEXT = 16384, 2048


@dataclass(frozen=True, slots=True)
class Speed:
    """`tokens_per_second` of one process; `how` says where the figure comes from."""

    tokens_per_second: float
    mfu: float
    how: str


def plan(config: PretrainConfig) -> list[tuple[str, str]]:
    """(what, value) rows of the dry run."""
    config = with_precision(config, device())
    vocabulary, context, rows = _shape(config)
    count = parameter_count(config.model, vocabulary)
    speed = probe(config, vocabulary, context)
    seconds = config.run.tokens / speed.tokens_per_second
    if config.run.minutes:
        seconds = min(seconds, 60 * config.run.minutes)
    flops = flops_per_token(config.model, vocabulary, context) * config.run.tokens
    ideal = optimal(flops)
    out = [
        ("parameters", f"{count:,} ({vocabulary:,} tokens of vocabulary)"),
        ("training tokens", f"{config.run.tokens:,} ({config.run.tokens / count:.1f} a parameter)" + (f", {rows:,} rows" if rows else "")),
        ("computation", f"{flops:.3g} FLOPs; compute-optimal with as many: {ideal.parameters:,.0f} parameters, {ideal.tokens:,.0f} tokens"),
        ("expected loss", f"{best_loss(count, config.run.tokens):.2f} nats a token, if this were web text and a 32k vocabulary"),
        ("memory", f"about {memory_mb(config, count, vocabulary, context):,.0f} MB"),
        ("measured here", f"{speed.tokens_per_second:,.0f} tokens/s, MFU {speed.mfu:.0%} ({speed.how})"),
        ("expected", f"{seconds / 3600:,.2f} h" + (f" (bounded by run.minutes={config.run.minutes:g})" if config.run.minutes else "")),
    ]
    if config.run.planned_flops:
        seconds = flops / (PROBE_MFU * config.run.planned_flops)
        out.append(("where it is planned", f"{seconds / 3600:,.1f} h at {PROBE_MFU:.0%} of {config.run.planned_flops:.3g} FLOP/s"))
    return [*out, ("cost", cost(seconds / 3600, config.run.price_per_hour, "run.price_per_hour"))]


def memory_mb(config: PretrainConfig, count: int, vocabulary: int, context: int) -> float:
    """Weights, gradients, two moments and the average in float32, and the activations of one micro-batch (Korthikanti et al. 2022, arXiv 2205.05198)."""
    states = count * 4 * (4 + (1 if config.optim.ema else 0))
    tokens = config.optim.micro_rows * context
    layers = 1 if config.run.gradient_checkpointing else config.model.layers
    width = 2 if config.run.precision == "bf16" else 4
    activations = tokens * layers * (17 * config.model.width + 4 * config.model.mlp_width) * width / 2
    return (
        states + activations + tokens * config.model.width * config.model.layers * width * (layers == 1) + 1024 * vocabulary * 8
    ) / 2**20


def probe(config: PretrainConfig, vocabulary: int, context: int) -> Speed:
    """Tokens per second of real optimizer steps, the first not counted; extrapolated where the model is too large to build here."""
    torch.set_num_threads(config.run.threads)
    where = device()
    flops, peak = flops_per_token(config.model, vocabulary, context), peak_flops(where)
    if where.type == "cpu" and parameter_count(config.model, vocabulary) > PROBE_PARAMETERS:
        return Speed(PROBE_MFU * peak / flops, PROBE_MFU, f"not measured: {PROBE_MFU:.0%} of a measured {peak / 1e9:,.0f} GFLOP/s")
    llama = build(config.model, vocabulary, context, 1, 0, config.run.seed)
    drop_layers(list(llama.model.layers), config.model.layer_drop)
    network = Network(llama, config.optim.label_smoothing).to(where)
    optimizers = make_optimizers(network, config.model, config.optim)
    set_rates(optimizers, 0.01)
    rows = torch.randint(0, vocabulary, (config.optim.micro_rows, context + 1), device=where)
    bf16 = partial(torch.autocast, where.type, torch.bfloat16, enabled=config.run.precision == "bf16", cache_enabled=False)
    compiled, random = config.run.compile, config.model.layer_drop > 0
    count = lanes_for(config.run.threads, alone_on_cpu=where.type == "cpu", random=random, compiled=compiled)
    with Lanes(network, count, bf16) as lanes:
        times = [_step(lanes, optimizers, rows) for _ in range(PROBE_STEPS + 1)]
    rate = rows.shape[0] * context / min(times[1:])
    return Speed(
        rate,
        rate * flops / peak,
        f"{PROBE_STEPS} steps of {rows.shape[0]} rows, {config.run.threads} thread(s), {config.run.precision}, {where.type}",
    )


def _step(lanes: Lanes, optimizers: list[torch.optim.Optimizer], rows: torch.Tensor) -> float:
    start = time.perf_counter()
    lanes.backward(rows, 1.0)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    if rows.device.type == "cuda":
        torch.cuda.synchronize(rows.device)
    return time.perf_counter() - start


def _shape(config: PretrainConfig) -> tuple[int, int, int]:
    """(vocabulary, context, rows or 0): of the packed rows where they are there, else what the recipe says."""
    if config.data.invented:
        return config.model.vocab_size or INVENTED_VOCABULARY, config.data.context_tokens, 0
    try:
        packed = open_packed(Path(config.data.packed))
    except DataMissing:
        return config.model.vocab_size or DEFAULT_VOCABULARY, config.data.context_tokens or DEFAULT_CONTEXT, 0
    return config.model.vocab_size or packed.vocab_size, packed.context, len(packed)
