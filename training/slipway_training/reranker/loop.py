"""The loop: listwise steps, a teacher beside the judgements, checkpoints that a stopped run goes on from.

It knows loss, schedule and restart. It refuses to know where the network and the lists came from, and export.
"""

import signal
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from torch import Tensor
from torch.nn import functional as F

from slipway_training import checkpoint
from slipway_training.checkpoint import Cursor
from slipway_training.device import bf16, device, streamed
from slipway_training.reranker.config import OptimConfig, RerankerConfig
from slipway_training.reranker.lists import Example, Listed, Reading, steps, tensors
from slipway_training.reranker.model import Reranker

SAY_EVERY = 20


@dataclass(frozen=True, slots=True)
class Parts:
    """What one run works with."""

    model: Reranker
    teacher: Reranker | None
    rows: list[Listed]
    reading: Reading


def run(parts: Parts, config: RerankerConfig, say: Callable[[str], None]) -> bool:
    """Train to the end (True), or to a signal (False); goes on from the newest checkpoint under `run.out`."""
    folder = Path(config.run.out) / "checkpoints"
    place(parts)
    prepare(parts.model, config)
    optimizer = optimizer_of(parts.model, config.optim)
    name = checkpoint.fingerprint(config.model_dump(mode="json", exclude={"run": {"out", "minutes", "threads"}}))
    cursor, notes = checkpoint.restore(folder, parts.model, optimizer, name)
    for note in notes:
        say(note)
    cursor = cursor or Cursor(fingerprint=name)
    wanted, seen, before, started = config.run.epochs * len(parts.rows), 0, cursor.seconds, time.monotonic()
    average = 0.0
    with _stopping() as stopped:
        for number, batch in enumerate(batches(parts, config)):
            progress = max(seen / wanted, cursor.seconds / 60 / config.run.minutes if config.run.minutes else 0.0)
            if progress >= 1 or stopped:
                break
            seen += len(batch)
            if number < cursor.batch:  # of the run that this one goes on from
                continue
            loss, tokens = step(parts, optimizer, batch, config, progress)
            average += (loss - average) / min(cursor.batch + 1, 100)
            seconds = before + time.monotonic() - started
            cursor = Cursor(batch=number + 1, tokens=cursor.tokens + tokens, seconds=seconds, fingerprint=name, history=cursor.history)
            if cursor.batch % SAY_EVERY == 0:
                cursor = cursor.model_copy(update={"history": (*cursor.history, (cursor.tokens, average, 0.0))})
                left = seconds / max(progress, 1e-6) * (1 - progress) / 60
                say(
                    f"step {cursor.batch} {progress:.1%} of {wanted:,.0f} lists, loss {average:.3f}, {cursor.tokens / seconds:,.0f} tokens/s, {left:.0f} min left"
                )
            if cursor.batch % config.run.checkpoint_every_steps == 0:
                checkpoint.save(folder, parts.model, optimizer, cursor, config.run.keep_checkpoints)
    checkpoint.save(folder, parts.model, optimizer, cursor, config.run.keep_checkpoints)
    return not stopped


def batches(parts: Parts, config: RerankerConfig) -> Iterator[list[Example]]:
    """The run's steps, the same for the same seed and number of workers."""

    def make(worker: int) -> Iterator[list[Example]]:
        rng = Random(f"{config.run.seed}/{worker}" if worker else config.run.seed)
        return steps(parts.rows, parts.reading, config.data.negatives, config.optim.step_tokens, rng)

    return streamed(make, config.run.workers)


def place(parts: Parts) -> None:
    """Move the networks to where they are trained."""
    for network in (parts.model, parts.teacher):
        if network is not None:
            network.to(device())


def prepare(model: Reranker, config: RerankerConfig) -> None:
    """Set what learns, and the dropout."""
    model.train()
    model.words.requires_grad_(not config.model.freeze_words)
    if config.model.freeze_layers:
        for part in (model.words, model.places, model.parts, model.norm, *model.layers[: config.model.freeze_layers]):
            part.requires_grad_(requires_grad=False)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = config.optim.dropout


def optimizer_of(model: Reranker, optim: OptimConfig) -> torch.optim.Optimizer:
    """The few new scalars learn faster than the weights that the base brought."""
    new = [parameter for name, parameter in model.named_parameters() if name.endswith("across") or name in ("dimensions", "tokens")]
    old = [parameter for parameter in model.parameters() if parameter.requires_grad and all(parameter is not other for other in new)]
    groups = [
        {"params": old, "lr": optim.learning_rate, "initial": optim.learning_rate, "weight_decay": optim.weight_decay},
        {"params": new, "lr": optim.new_learning_rate, "initial": optim.new_learning_rate, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, fused=True)


def learning_share(progress: float, warmup: float) -> float:
    """Linear warm-up, then a straight line to a fiftieth."""
    return max(0.02, min(progress / warmup if warmup else 1.0, (1 - progress) / max(1e-9, 1 - warmup)))


def step(
    parts: Parts, optimizer: torch.optim.Optimizer, batch: Sequence[Example], config: RerankerConfig, progress: float
) -> tuple[float, int]:
    """One optimizer step: (loss, padded tokens)."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial"] * learning_share(progress, config.optim.warmup_share)
    inputs = tensors([ids for e in batch for ids in e.ids], [types for e in batch for types in e.types])
    inputs = {name: tensor.to(parts.model.tokens.device, non_blocking=True) for name, tensor in inputs.items()}
    value = loss(parts, batch, inputs, config)
    optimizer.zero_grad(set_to_none=True)
    value.backward()
    torch.nn.utils.clip_grad_norm_([p for p in parts.model.parameters() if p.requires_grad], 1.0)
    optimizer.step()
    return value.item(), inputs["input_ids"].numel()


def loss(parts: Parts, batch: Sequence[Example], inputs: dict[str, Tensor], config: RerankerConfig) -> Tensor:
    """Mean listwise cross-entropy, and the distance to the teacher's margins. products in bfloat16."""
    ours = _scores(parts.model, inputs)
    theirs = None
    if parts.teacher is not None:
        with torch.inference_mode():
            theirs = _scores(parts.teacher, inputs).clone()
    sizes = [len(e.ids) for e in batch]
    found: list[Tensor] = []
    for number, (item, part) in enumerate(zip(batch, torch.split(ours, sizes), strict=True)):
        followed = None if theirs is None else torch.split(theirs, sizes)[number]
        found.append(list_loss(item, part, followed, config))
    return torch.stack(found).mean()


def list_loss(item: Example, scores: Tensor, followed: Tensor | None, config: RerankerConfig) -> Tensor:
    """One list's: `scores` and `followed` (the teacher's, if any) are logits, the answering passage first."""
    target = torch.zeros_like(scores)
    target[0] = 1.0
    share, soft = (
        (config.distil.share, followed)
        if followed is not None
        else (config.optim.first_stage_share, torch.tensor(item.first_stage, device=scores.device))
    )
    if len(soft):
        target = (1 - share) * target + share * torch.softmax(soft, 0)
    value = -(target * torch.log_softmax(scores, 0)).sum()
    if followed is not None:
        value = value + config.distil.margin * F.mse_loss(scores - scores.mean(), followed - followed.mean())
    return value


def _scores(model: Reranker, inputs: dict[str, Tensor]) -> Tensor:
    with bf16(model.tokens.device):
        return model(**inputs).flatten().float()


@contextmanager
def _stopping() -> Generator[list[int]]:
    """A list that a stop signal (SIGINT, SIGTERM) puts itself into: the step in progress ends, the checkpoint is written."""
    caught: list[int] = []
    before = {number: signal.signal(number, lambda got, _frame: caught.append(got)) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
