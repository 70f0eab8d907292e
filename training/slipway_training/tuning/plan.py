"""What a tuning run costs here, told before it starts: sizes from the rows, memory by arithmetic, hours from a few measured steps.

It refuses to write into the run's folder: a made base goes to a scratch folder.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from slipway_training.costs import ending
from slipway_training.tuning import rows
from slipway_training.tuning.base import make_base, open_base
from slipway_training.tuning.config import DpoConfig, LoraConfig, TuningConfig

PROBE_STEPS = 2


def tuning_rows(config: TuningConfig, forwards: float = 1.0) -> list[tuple[str, str]]:
    """(what, value). `forwards` is the work of a step against plain SFT: 2 with a frozen reference or teacher beside the model (one forward pass of three)."""
    torch.set_num_threads(config.run.threads)
    found = rows.read_rows(config.data, pairs=isinstance(config, DpoConfig) and not config.best.samples)
    with tempfile.TemporaryDirectory() as scratch:
        texts = [m["content"] for row in found for key in ("messages", "prompt", "chosen") for m in row.get(key, ())]
        folder = Path(config.model.base) if config.model.base else make_base(config.model, texts, Path(scratch), config.run.seed)
        opened = open_base(folder)
        sequences = [ids for row in found for ids in _sequences(row, opened.tokenizer) if len(ids) <= config.data.max_tokens]
        trained = _trainable(opened.model, config)
        rate = probe(opened.model, sequences[: config.optim.batch_rows]) / forwards
    return _table(config, opened.model, sequences, trained, rate)


def _table(config: TuningConfig, model: Any, sequences: list[list[int]], trained: int, rate: float) -> list[tuple[str, str]]:
    count = sum(p.numel() for p in model.parameters())
    tokens = sum(map(len, sequences)) * config.optim.epochs
    if config.optim.max_steps:
        tokens = sum(map(len, sequences)) / max(1, len(sequences)) * config.optim.batch_rows * config.optim.max_steps
    # Weights in float32, gradients and two moments of what is trained; activations as Korthikanti et al. 2022 (arXiv 2205.05198) count them.
    width, layers, vocabulary = model.config.hidden_size, model.config.num_hidden_layers, model.config.vocab_size
    longest = max(map(len, sequences), default=1)
    activations = config.optim.batch_rows * longest * (layers * 34 * width * 2 + 2 * 4 * vocabulary)
    return [
        ("parameters", f"{count:,}, of which trained {trained:,}"),
        ("rows", f"{len(sequences):,} of at most {longest} tokens"),
        ("training tokens", f"{tokens:,.0f} ({config.optim.epochs:g} epochs)"),
        ("memory", f"about {(count * 4 + trained * 12 + activations) / 2**20:,.0f} MB"),
        ("measured here", f"{rate:,.0f} tokens/s, {config.run.threads} thread(s)"),
        *ending(tokens / rate, config.run.price_per_hour, "run.price_per_hour"),
    ]


def probe(model: Any, sequences: list[list[int]]) -> float:
    """Tokens per second of forward and backward passes over rows as they are, the first pass not counted."""
    model.train()
    seconds = 0.0
    for turn in range(PROBE_STEPS + 1):
        begun = time.monotonic()
        for ids in sequences:
            batch = torch.tensor([ids])
            model(input_ids=batch, labels=batch).loss.backward()
        model.zero_grad(set_to_none=True)
        seconds += (time.monotonic() - begun) if turn else 0.0
    return sum(map(len, sequences)) * PROBE_STEPS / seconds


def _sequences(row: dict[str, Any], tokenizer: Any) -> list[list[int]]:
    if "messages" in row:
        return [rows.encode(row["messages"], tokenizer)[0]]
    return [rows.encode([*row["prompt"], *row[key]], tokenizer)[0] for key in ("chosen", "rejected")]


def _trainable(model: Any, config: TuningConfig) -> int:
    if not isinstance(config, LoraConfig):
        return sum(p.numel() for p in model.parameters())
    from slipway_training.tuning.lora import target_modules

    wanted = target_modules(config.adapter.targets)
    shapes = [module.weight.shape for name, module in model.named_modules() if name.rpartition(".")[2] in wanted]
    return sum(config.adapter.rank * (a + b) for a, b in shapes)
