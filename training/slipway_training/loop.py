"""The training loop, top to bottom: batches in, weights out.

It knows the loss (answer tokens, and for a while some passage tokens), the schedule, the clock guard, checkpoints and signals.
It refuses to know where rows come from and how progress is drawn (a callback is told).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import LlamaForCausalLM

from slipway_training import checkpoint
from slipway_training.checkpoint import Cursor
from slipway_training.config import OptimConfig, RunConfig
from slipway_training.sampler import Batch, Sampler
from slipway_training.signals import stop_on_signal

HISTORY_EVERY = 10


@dataclass(frozen=True, slots=True)
class Step:
    """What one optimizer step tells: `loss` in nats per answer token, `right` the share of answer tokens that were the most likely ones."""

    index: int
    steps: int
    tokens: int
    seconds: float
    progress: float
    loss: float
    right: float
    learning_rate: float
    grad_norm: float
    stage: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: `done`, or stopped by a signal and resumable."""

    done: bool
    cursor: Cursor
    notes: tuple[str, ...]


def train(
    model: LlamaForCausalLM,
    sampler: Sampler,
    optim: OptimConfig,
    run: RunConfig,
    folder: Path,
    fingerprint: str,
    on_step: Callable[[Step], None],
) -> Outcome:
    """Train `model` from the newest checkpoint in `folder` to the end of `sampler` (or of the clock), and leave the last state there.

    Raises CheckpointError when `folder` belongs to another run or a checkpoint cannot be written, TrainingError when the loss is no number.
    """
    optimizer = make_optimizer(model, optim)
    found, notes = checkpoint.restore(folder, model, optimizer, fingerprint)
    cursor = found or Cursor(fingerprint=fingerprint)
    total, started, before = sampler.tokens, time.monotonic(), cursor.seconds
    model.train()
    with stop_on_signal() as stopped:
        while cursor.batch < len(sampler):
            progress = _progress(cursor, total, run)
            if progress >= 1.0 or stopped():
                break
            rate = learning_rate(optim, progress)
            batch = sampler.batch(cursor.batch)
            loss, right, norm = _update(model, optimizer, batch, optim, rate, progress)
            checkpoint.finite(loss, cursor.batch + 1)
            seconds = before + time.monotonic() - started
            history = (*cursor.history, (cursor.tokens, loss, right)) if cursor.batch % HISTORY_EVERY == 0 else cursor.history
            stage = sampler.stage(cursor.batch)
            cursor = Cursor(
                batch=cursor.batch + 1, tokens=cursor.tokens + batch.size, seconds=seconds, fingerprint=fingerprint, history=history
            )
            on_step(Step(cursor.batch, len(sampler), cursor.tokens, seconds, progress, loss, right, rate, norm, stage))
            if cursor.batch % run.checkpoint_every_steps == 0:
                checkpoint.save(folder, model, optimizer, cursor, run.keep_checkpoints)
        done = cursor.batch >= len(sampler) or _progress(cursor, total, run) >= 1.0
    checkpoint.save(folder, model, optimizer, cursor, run.keep_checkpoints)
    return Outcome(done, cursor, tuple(notes))


def make_optimizer(model: LlamaForCausalLM, optim: OptimConfig) -> torch.optim.Optimizer:
    """AdamW; norms are not decayed."""
    parameters = list(model.named_parameters())
    groups = [
        {"params": [p for _, p in parameters if p.ndim >= 2], "weight_decay": optim.weight_decay},
        {"params": [p for _, p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=optim.learning_rate, betas=(0.9, optim.beta2), eps=1e-8, fused=True)


def learning_rate(optim: OptimConfig, progress: float) -> float:
    """Linear warm-up, then a straight line to a hundredth."""
    if progress < optim.warmup_share:
        return optim.learning_rate * max(0.02, progress / optim.warmup_share)
    left = (1.0 - progress) / max(1e-9, 1.0 - optim.warmup_share)
    return optim.learning_rate * max(0.01, left)


def _progress(cursor: Cursor, total: int, run: RunConfig) -> float:
    """Share of the run that is behind us: by tokens, or by the clock where that is further."""
    by_tokens = cursor.tokens / max(1, total)
    return max(by_tokens, cursor.seconds / (60 * run.minutes)) if run.minutes else by_tokens


def _update(
    model: LlamaForCausalLM, optimizer: torch.optim.Optimizer, batch: Batch, optim: OptimConfig, rate: float, progress: float
) -> tuple[float, float, float]:
    """One optimizer step; (answer loss, share right, gradient norm)."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    answer, right, prefix = losses(model, batch, optim, progress)
    optimizer.zero_grad(set_to_none=True)
    (answer if prefix is None else answer + optim.prefix_loss * prefix).backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), optim.clip_norm)
    optimizer.step()
    return float(answer.detach()), right, float(norm)


def losses(model: LlamaForCausalLM, batch: Batch, optim: OptimConfig, progress: float) -> tuple[Tensor, float, Tensor | None]:
    """(answer loss, share of answer tokens right, loss on a sample of the other tokens while it is wanted).

    Only the positions that enter a loss meet the output matrix, which is a third of this model.
    """
    tokens, segments = torch.from_numpy(batch.tokens), torch.from_numpy(batch.segments)
    hidden = model.model(
        input_ids=tokens, position_ids=torch.from_numpy(batch.positions), attention_mask=row_mask(segments), use_cache=False
    ).last_hidden_state
    wanted = torch.from_numpy(batch.target)[:, 1:]
    logits = _logits(model, hidden[:, :-1][wanted])
    labels = tokens[:, 1:][wanted]
    answer = F.cross_entropy(logits, labels, label_smoothing=optim.label_smoothing, reduction="none")
    first = ~torch.from_numpy(batch.target)[:, :-1][wanted]
    weight = 1.0 + (optim.first_token_weight - 1.0) * first.float()
    answer = (answer * weight).sum() / weight.sum()
    right = float((logits.detach().argmax(-1) == labels).float().mean())
    if not optim.prefix_loss or progress >= optim.prefix_loss_until:
        return answer, right, None
    others = ((segments[:, 1:] == segments[:, :-1]) & ~wanted & (segments[:, 1:] != 255)).nonzero()
    others = others[torch.randperm(len(others))[: optim.prefix_loss_tokens]]
    prefix_logits = _logits(model, hidden[others[:, 0], others[:, 1]])
    return answer, right, F.cross_entropy(prefix_logits, tokens[others[:, 0], others[:, 1] + 1])


def _logits(model: LlamaForCausalLM, hidden: Tensor) -> Tensor:
    return F.linear(hidden, model.model.embed_tokens.weight)


def row_mask(segments: Tensor) -> Tensor:
    """(rows, 1, length, length), true where token q may look at token k: not ahead, and in the passages or its own question."""
    length = segments.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    query, key = segments[:, :, None], segments[:, None, :]
    return (causal & ((key == 0) | (key == query)))[:, None]
