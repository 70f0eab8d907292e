"""What a run of the pointer recipe costs on this machine, measured on a few real steps before it starts.

It knows the probe and the extrapolation. It refuses to write anything.
"""

import time
from itertools import islice

import torch

from slipway_training.costs import ending
from slipway_training.device import device
from slipway_training.pointer.batches import encoded, read_sources
from slipway_training.pointer.config import PointerConfig
from slipway_training.pointer.train import optimizer_of, start, step
from slipway_training.pointer.vocabulary import wordpiece

PROBE_STEPS = 3


def plan(config: PointerConfig) -> list[tuple[str, str]]:
    """(what, value) rows; raises DataMissing."""
    torch.set_num_threads(config.run.threads)
    torch.manual_seed(config.run.seed)
    sources = read_sources(config, lambda _line: None)
    both, vocabulary = start(config, sources)
    both.to(device()).train()
    optimizer = optimizer_of(both.model, config.optim)
    times: list[float] = []
    tokens = 0
    before = time.monotonic()
    for batch in islice(encoded(sources, wordpiece(vocabulary), config), PROBE_STEPS + 1):
        seen, _, _ = step(both, optimizer, batch, config, 0.5)
        times.append(time.monotonic() - before)
        tokens, before = tokens + seen, time.monotonic()
    steps = config.data.lists // config.optim.batch_lists
    per_step = sum(times[1:]) / PROBE_STEPS
    count = sum(p.numel() for p in both.model.parameters())
    return [
        ("parameters", f"{count:,}"),
        ("lists", f"{config.data.lists:,} of {config.data.passages} passages, {steps:,} steps"),
        ("training tokens", f"about {tokens / (PROBE_STEPS + 1) * steps:,.0f}"),
        ("memory", f"about {count * 20 / 2**20:,.0f} MB and the activations of {config.optim.batch_lists * config.data.passages} pairs"),
        ("measured here", f"{tokens / sum(times):,.0f} tokens/s, {config.run.threads} thread(s)"),
        *ending(steps * per_step, config.run.price_per_hour, "run.price_per_hour", config.run.minutes),
    ]
