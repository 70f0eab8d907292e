"""What a run of the reranker recipe costs on this machine, measured on a few real steps before it starts.

It knows the probe and the extrapolation. It refuses to write anything.
"""

import time
from itertools import islice

from slipway_training.reranker import loop
from slipway_training.reranker.config import RerankerConfig
from slipway_training.reranker.recipe import parts_of

PROBE_STEPS = 3


def plan(config: RerankerConfig) -> list[tuple[str, str]]:
    """(what, value) rows; raises DataMissing."""
    parts = parts_of(config)
    loop.place(parts)
    loop.prepare(parts.model, config)
    optimizer = loop.optimizer_of(parts.model, config.optim)
    times: list[float] = []
    tokens = lists = 0
    before = time.monotonic()
    for batch in islice(loop.batches(parts, config), PROBE_STEPS + 1):
        tokens += loop.step(parts, optimizer, batch, config, 0.5)[1]
        times.append(time.monotonic() - before)
        lists, before = lists + len(batch), time.monotonic()
    wanted = config.run.epochs * len(parts.rows)
    seconds = sum(times[1:]) / PROBE_STEPS / (lists / len(times)) * wanted
    bound = f" (bounded by run.minutes={config.run.minutes:g})" if 0 < 60 * config.run.minutes < seconds else ""
    seconds = 60 * config.run.minutes if bound else seconds
    count = sum(p.numel() for p in parts.model.parameters())
    learning = sum(p.numel() for p in parts.model.parameters() if p.requires_grad)
    return [
        ("parameters", f"{count:,}, of which {learning:,} learn"),
        ("teacher", f"{sum(p.numel() for p in parts.teacher.parameters()):,} parameters" if parts.teacher else "none"),
        ("lists", f"{len(parts.rows):,}, {config.run.epochs:g} times"),
        ("training tokens", f"about {tokens / lists * wanted:,.0f}"),
        ("memory", f"about {(4 * count + 12 * learning) / 2**20:,.0f} MB and the activations of {config.optim.step_tokens:,} tokens"),
        ("measured here", f"{tokens / sum(times):,.0f} tokens/s, {config.run.threads} thread(s)"),
        ("expected", f"{seconds / 3600:.2f} h{bound}"),
    ]
