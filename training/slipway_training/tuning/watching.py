"""What looks on while a tuning run goes: the stop that a signal asks for, the end of a run that diverged, a log of JSON lines, a progress bar.

It knows the Trainer's callbacks. It refuses to know checkpoints and losses.
"""

import json
import math
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from transformers import TrainerCallback

from slipway_training.errors import TrainingError
from slipway_training.tuning import processes


class Stop(TrainerCallback):
    """Asks for a checkpoint and the end of training once a signal came to any process: all must leave at the same step."""

    def __init__(self, stopped: Any) -> None:
        self._stopped, self.came = stopped, False

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        if processes.here().any(self._stopped()) and state.global_step < state.max_steps:
            self.came = control.should_training_stop = control.should_save = True
        return control


class Finite(TrainerCallback):
    """Ends a run whose loss or gradient is no number, before a checkpoint of it is written. Raises TrainingError."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        for name in ("loss", "grad_norm"):
            if logs and name in logs and not math.isfinite(float(logs[name])):
                raise TrainingError(
                    f"{name} of step {state.global_step} is {float(logs[name])}: the run diverged; lower optim.learning_rate and choose another run.out"
                )


class Log(TrainerCallback):
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


class Bar(TrainerCallback):
    """Steps, loss and ETA on a terminal; a line now and then elsewhere."""

    def __init__(self, console: Console, what: str, steps: int) -> None:
        self._console, self._what, self._steps = console, what, steps
        self._task: TaskID | None = None
        columns = (TextColumn(f"[bold]{what}[/]"), BarColumn(), TextColumn("{task.completed}/{task.total}"), TimeElapsedColumn())
        self._bar = Progress(
            *columns, TextColumn("ETA"), TimeRemainingColumn(), TextColumn("{task.fields[say]}"), console=console, disable=not console.is_terminal
        )  # fmt: skip

    def __enter__(self) -> "Bar":
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
