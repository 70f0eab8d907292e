"""What our trainers add to transformers' Trainer: checkpoints without pickles, stops by signal, a log of JSON lines, watchers.

It knows the Trainer's hooks. Its own `optimizer.pt`, `scheduler.pt`, `rng_state.pth` and `training_args.bin` are pickles: none is written and none is read here;
the same numbers stand in safetensors and JSON, each file with its digest in whole.json. It refuses to know losses and rows.
"""

import json
import math
import random
import shutil
import warnings
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file
from transformers.trainer_callback import PrinterCallback

from slipway_training.errors import CheckpointError
from slipway_training.signals import stop_on_signal
from slipway_training.tuning import processes
from slipway_training.tuning.config import TuningConfig
from slipway_training.tuning.speed import flops_per_token
from slipway_training.tuning.trackers import trackers
from slipway_training.tuning.watching import Bar, Finite, Log, Stop
from slipway_training.vocab.lock import digest

LOG, WHOLE, CHECKPOINTS = "log.jsonl", "whole.json", "checkpoints"


class SafeCheckpoints:
    """Mixed in before a Trainer: its state in safetensors and JSON, marked whole by a file of digests that is written last."""

    model: Any
    args: Any
    processing_class: Any
    optimizer: Any
    lr_scheduler: Any
    flops_per_token: float = 0.0
    """What `speed.flops_per_token` says of the model; for the bar."""
    tokens_read = 0
    """By this process, padding not counted."""
    keep: int = 2
    """So many checkpoints stay; the Trainer's own rotation would drop the last whole one before the next is whole."""

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        self.model.save_pretrained(folder, state_dict=state_dict)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not processes.here().first:
            return
        state: dict[int, dict[str, Any]] = self.optimizer.state_dict()["state"]
        tensors = {f"{i}.{name}": torch.as_tensor(value).contiguous() for i, values in state.items() for name, value in values.items()}
        save_file(tensors, Path(output_dir) / "optimizer.safetensors")
        kept = {k: v for k, v in self.lr_scheduler.state_dict().items() if isinstance(v, int | float | list)}
        (Path(output_dir) / "scheduler.json").write_text(json.dumps(kept), encoding="utf-8")

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        state: dict[int, dict[str, Any]] = {}
        for key, value in load_file(Path(checkpoint) / "optimizer.safetensors").items():
            index, name = key.split(".", 1)
            state.setdefault(int(index), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        scheduler = json.loads((Path(checkpoint) / "scheduler.json").read_text(encoding="utf-8"))
        self.lr_scheduler.load_state_dict({**self.lr_scheduler.state_dict(), **scheduler})
        for group, rate in zip(self.optimizer.param_groups, scheduler["_last_lr"], strict=True):
            group["lr"] = rate

    def _save_rng_state(self, output_dir: str) -> None:
        tensors = {"torch": torch.get_rng_state()}
        if torch.cuda.is_available():
            tensors |= {f"cuda.{i}": state for i, state in enumerate(torch.cuda.get_rng_state_all())}
        mine = _rng_name()
        Path(output_dir).mkdir(parents=True, exist_ok=True)
        save_file(tensors, Path(output_dir) / f"{mine}.safetensors")
        version, numbers, gauss = random.getstate()
        name, keys, place, has, cached = np.random.get_state(legacy=True)  # the Trainer draws from the global one
        kept = {"python": [version, list(numbers), gauss], "numpy": [str(name), [int(k) for k in np.asarray(keys)], place, has, cached]}
        (Path(output_dir) / f"{mine}.json").write_text(json.dumps(kept), encoding="utf-8")

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        mine = _rng_name()
        if not (Path(checkpoint) / f"{mine}.json").is_file():
            return  # fewer processes wrote this checkpoint: the added one draws as it was seeded
        tensors = load_file(Path(checkpoint) / f"{mine}.safetensors")
        torch.set_rng_state(tensors.pop("torch"))
        if torch.cuda.is_available() and tensors:
            torch.cuda.set_rng_state_all([tensors[f"cuda.{i}"] for i in range(len(tensors))])
        kept = json.loads((Path(checkpoint) / f"{mine}.json").read_text(encoding="utf-8"))
        version, numbers, gauss = kept["python"]
        random.setstate((version, tuple(numbers), gauss))
        name, keys, place, has, cached = kept["numpy"]
        np.random.set_state((name, np.array(keys, dtype=np.uint32), place, has, cached))

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """A tied output matrix stands in a checkpoint once, under the embedding's name: that is no missing key."""
        tied = set(self.model._tied_weights_keys or ())
        load_result.missing_keys[:] = [key for key in load_result.missing_keys if key not in tied]
        super()._issue_warnings_after_load(load_result)  # type: ignore[misc]

    def training_step(self, model: Any, inputs: dict[str, Any], *more: Any, **named: Any) -> Any:
        mask = inputs.get("attention_mask")
        self.tokens_read += int(mask.sum()) if mask is not None else inputs["input_ids"].numel()
        return super().training_step(model, inputs, *more, **named)  # type: ignore[misc]

    def _send_telemetry(self) -> None:
        """Nothing: TRL 1.16 tells Hugging Face which trainer runs on which GPU. A run here reaches no network unless `run.wandb=online` asks for it."""

    def create_model_card(self, *given: Any, **named: Any) -> None:
        """Nothing: a checkpoint is no release, and its card would name libraries and no data."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)  # type: ignore[misc]
        run = processes.here()
        run.wait()  # every process has written its random state
        if run.first:
            self._mark_whole(Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}")  # type: ignore[attr-defined]
        run.wait()

    def _mark_whole(self, folder: Path) -> None:
        sums = {path.name: digest(path) for path in sorted(folder.iterdir()) if path.is_file()}
        (folder / WHOLE).write_text(json.dumps(sums, indent=1), encoding="utf-8")
        for old in _by_step(folder.parent)[self.keep :]:  # only now: until here the one before was the newest whole one
            shutil.rmtree(old, ignore_errors=True)


def _rng_name() -> str:
    rank = processes.here().rank
    return f"rng-{rank}" if rank else "rng"


def _by_step(folder: Path) -> list[Path]:
    """Checkpoints below `folder`, the newest first."""
    return sorted(folder.glob("checkpoint-*"), key=lambda p: int(p.name.rpartition("-")[2]), reverse=True)


def newest(folder: Path) -> tuple[Path | None, list[str]]:
    """The newest whole checkpoint below `folder`, and what was passed over, in words."""
    notes: list[str] = []
    for path in _by_step(folder):
        try:
            sums: dict[str, str] = json.loads((path / WHOLE).read_text(encoding="utf-8"))
            if all(digest(path / name) == wanted for name, wanted in sums.items()):
                return path, notes
        except (OSError, ValueError):
            pass
        notes.append(f"{path.name} is not whole, the one before it is used")
        shutil.rmtree(path, ignore_errors=True)
    return None, notes


def arguments(config: TuningConfig, folder: Path, rows: int) -> dict[str, Any]:
    """The keywords of TrainingArguments that every recipe shares. Rates and steps are the recipe's; reporting is ours."""
    per_epoch = max(1, math.ceil(rows / config.optim.batch_rows))
    steps = config.optim.max_steps or max(1, round(per_epoch * config.optim.epochs))
    run = processes.here()
    over_gloo = (
        run.world > 1 and not torch.cuda.is_available()
    )  # without use_cpu Accelerate takes no part in a group of CPUs, and says nothing
    return {
        "output_dir": str(folder / CHECKPOINTS), "max_steps": steps, "per_device_train_batch_size": run.share(config.optim.batch_rows),
        "learning_rate": config.optim.learning_rate, "weight_decay": config.optim.weight_decay, "max_grad_norm": config.optim.clip_norm,
        "warmup_steps": round(steps * config.optim.warmup_share), "lr_scheduler_type": "cosine", "optim": "adamw_torch", "seed": config.run.seed,
        # TRL turns recomputation on under its old name, which transformers warns about; models of a laptop's size need none.
        "gradient_checkpointing": None, "activation_checkpointing": False, "bf16": torch.cuda.is_available(),
        "dataloader_pin_memory": torch.cuda.is_available(), "save_strategy": "steps", "save_steps": config.run.checkpoint_every_steps,
        "save_total_limit": None, "logging_steps": 1, "logging_nan_inf_filter": False, "report_to": "none", "disable_tqdm": True,
        "use_cpu": over_gloo, "ddp_backend": "gloo" if over_gloo else None, "ddp_find_unused_parameters": False,
        "eval_strategy": "no",
    }  # fmt: skip


@contextmanager
def hushed() -> Generator[None]:
    """Within it one warning is not shown: TRL 1.16 (DPO) and PEFT 0.21 still read a property of models that transformers 5.23 is about to rename."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        yield


def fit(trainer: Any, config: TuningConfig, folder: Path, console: Console, what: str) -> bool:
    """Train from the newest whole checkpoint to the end (True), or to a signal (False)."""
    torch.set_num_threads(config.run.threads)
    trainer.remove_callback(PrinterCallback)
    trainer.keep = config.run.keep_checkpoints
    trainer.flops_per_token = flops_per_token(trainer.model, reference=getattr(trainer, "ref_model", None) is not None)
    run = processes.here()
    with run.first_before_others():
        found, notes = newest(folder / CHECKPOINTS)
    for note in notes:
        console.print(note, highlight=False)
    with hushed(), stop_on_signal() as stopped, ExitStack() as watching:
        stop = Stop(stopped)
        trainer.add_callback(stop)
        trainer.add_callback(Finite())
        if run.first:
            bar = watching.enter_context(Bar(console, what, trainer))
            watchers = watching.enter_context(trackers(config, folder))
            for callback in (bar, Log(folder / LOG, resumed=found is not None), *watchers):
                trainer.add_callback(callback)
        trainer.train(resume_from_checkpoint=str(found) if found else None)
    return not stop.came


def remember(config: TuningConfig, folder: Path, *made_of: object) -> None:
    """Keep the configuration (the first process does); raises CheckpointError when the folder's checkpoints belong to another one."""
    if not processes.here().first:
        return
    kept = config.model_dump(mode="json", exclude={"run": {"out", "threads", "wandb", "tensorboard", "keep_checkpoints", "price_per_hour"}})
    page = json.dumps({**kept, "made_of": made_of}, indent=1)
    path = folder / "config.json"
    if path.is_file() and path.read_text(encoding="utf-8") != page and any((folder / CHECKPOINTS).glob("checkpoint-*")):
        raise CheckpointError(f"{folder} holds checkpoints of another configuration or other rows; choose another run.out or remove it")
    path.write_text(page, encoding="utf-8")
