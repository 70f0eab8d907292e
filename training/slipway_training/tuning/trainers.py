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
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback

from slipway_training.errors import CheckpointError
from slipway_training.signals import stop_on_signal
from slipway_training.tuning.config import TuningConfig
from slipway_training.tuning.trackers import trackers
from slipway_training.vocab.lock import digest

LOG, WHOLE, CHECKPOINTS = "log.jsonl", "whole.json", "checkpoints"


class SafeCheckpoints:
    """Mixed in before a Trainer: its state in safetensors and JSON, marked whole by a file of digests that is written last."""

    model: Any
    args: Any
    processing_class: Any
    optimizer: Any
    lr_scheduler: Any
    keep: int = 2
    """So many checkpoints stay; the Trainer's own rotation would drop the last whole one before the next is whole."""

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        self.model.save_pretrained(folder, state_dict=state_dict)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
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
        save_file(tensors, Path(output_dir) / "rng.safetensors")
        version, numbers, gauss = random.getstate()
        name, keys, place, has, cached = np.random.get_state(legacy=True)  # the Trainer draws from the global one
        kept = {"python": [version, list(numbers), gauss], "numpy": [str(name), [int(k) for k in np.asarray(keys)], place, has, cached]}
        (Path(output_dir) / "rng.json").write_text(json.dumps(kept), encoding="utf-8")

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        tensors = load_file(Path(checkpoint) / "rng.safetensors")
        torch.set_rng_state(tensors.pop("torch"))
        if torch.cuda.is_available() and tensors:
            torch.cuda.set_rng_state_all([tensors[f"cuda.{i}"] for i in range(len(tensors))])
        kept = json.loads((Path(checkpoint) / "rng.json").read_text(encoding="utf-8"))
        version, numbers, gauss = kept["python"]
        random.setstate((version, tuple(numbers), gauss))
        name, keys, place, has, cached = kept["numpy"]
        np.random.set_state((name, np.array(keys, dtype=np.uint32), place, has, cached))

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """A tied output matrix stands in a checkpoint once, under the embedding's name: that is no missing key."""
        tied = set(self.model._tied_weights_keys or ())
        load_result.missing_keys[:] = [key for key in load_result.missing_keys if key not in tied]
        super()._issue_warnings_after_load(load_result)  # type: ignore[misc]

    def create_model_card(self, *given: Any, **named: Any) -> None:
        """Nothing: a checkpoint is no release, and its card would name libraries and no data."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)  # type: ignore[misc]
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"  # type: ignore[attr-defined]
        sums = {path.name: digest(path) for path in sorted(folder.iterdir()) if path.is_file()}
        (folder / WHOLE).write_text(json.dumps(sums, indent=1), encoding="utf-8")
        for old in _by_step(folder.parent)[self.keep :]:  # only now: until here the one before was the newest whole one
            shutil.rmtree(old, ignore_errors=True)


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
    return {
        "output_dir": str(folder / CHECKPOINTS), "max_steps": steps, "per_device_train_batch_size": config.optim.batch_rows,
        "learning_rate": config.optim.learning_rate, "weight_decay": config.optim.weight_decay, "max_grad_norm": config.optim.clip_norm,
        "warmup_steps": round(steps * config.optim.warmup_share), "lr_scheduler_type": "cosine", "optim": "adamw_torch", "seed": config.run.seed,
        # TRL turns recomputation on under its old name, which transformers warns about; models of a laptop's size need none.
        "gradient_checkpointing": None, "activation_checkpointing": False, "bf16": torch.cuda.is_available(),
        "dataloader_pin_memory": torch.cuda.is_available(), "save_strategy": "steps", "save_steps": config.run.checkpoint_every_steps,
        "save_total_limit": None, "logging_steps": 1, "report_to": "none", "disable_tqdm": True, "eval_strategy": "no",
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
    found, notes = newest(folder / CHECKPOINTS)
    for note in notes:
        console.print(note, highlight=False)
    with (
        hushed(),
        stop_on_signal() as stopped,
        _Bar(console, what, int(trainer.args.max_steps)) as bar,
        trackers(config, folder) as watchers,
    ):
        stop = _Stop(stopped)
        for callback in (stop, bar, _Log(folder / LOG, resumed=found is not None), *watchers):
            trainer.add_callback(callback)
        trainer.train(resume_from_checkpoint=str(found) if found else None)
    return not stop.came


def remember(config: TuningConfig, folder: Path, *made_of: object) -> None:
    """Keep the configuration; raises CheckpointError when the folder's checkpoints belong to another one."""
    kept = config.model_dump(mode="json", exclude={"run": {"out", "threads", "wandb", "tensorboard", "keep_checkpoints", "price_per_hour"}})
    page = json.dumps({**kept, "made_of": made_of}, indent=1)
    path = folder / "config.json"
    if path.is_file() and path.read_text(encoding="utf-8") != page and any((folder / CHECKPOINTS).glob("checkpoint-*")):
        raise CheckpointError(f"{folder} holds checkpoints of another configuration or other rows; choose another run.out or remove it")
    path.write_text(page, encoding="utf-8")


class _Stop(TrainerCallback):
    """Asks for a checkpoint and the end of training once a signal came."""

    def __init__(self, stopped: Any) -> None:
        self._stopped, self.came = stopped, False

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        if self._stopped() and state.global_step < state.max_steps:
            self.came = control.should_training_stop = control.should_save = True
        return control


class _Log(TrainerCallback):
    """One JSON line for every step."""

    def __init__(self, path: Path, *, resumed: bool) -> None:
        self._path = path
        if not resumed:
            path.write_text("", encoding="utf-8")

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        kept = [line for line in self._path.read_text(encoding="utf-8").splitlines() if json.loads(line)["step"] <= state.global_step]
        self._path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        if logs and "loss" in logs:
            with self._path.open("a", encoding="utf-8") as out:
                out.write(json.dumps({"step": state.global_step, **{k: v for k, v in logs.items() if isinstance(v, int | float)}}) + "\n")


class _Bar(TrainerCallback):
    """Steps, loss and ETA on a terminal; a line now and then elsewhere."""

    def __init__(self, console: Console, what: str, steps: int) -> None:
        self._console, self._what, self._steps = console, what, steps
        self._task: TaskID | None = None
        columns = (TextColumn(f"[bold]{what}[/]"), BarColumn(), TextColumn("{task.completed}/{task.total}"), TimeElapsedColumn())
        self._bar = Progress(
            *columns, TextColumn("ETA"), TimeRemainingColumn(), TextColumn("{task.fields[say]}"), console=console, disable=not console.is_terminal
        )  # fmt: skip

    def __enter__(self) -> "_Bar":
        self._bar.start()
        self._task = self._bar.add_task(self._what, total=self._steps, say="")
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        if not logs or "loss" not in logs:
            return
        say = f"loss {float(logs['loss']):.3f}"
        if self._console.is_terminal and self._task is not None:
            self._bar.update(self._task, completed=state.global_step, say=say)
        elif state.global_step % 20 == 0:
            self._console.print(f"{self._what} step {state.global_step}/{self._steps} {say}", highlight=False)
