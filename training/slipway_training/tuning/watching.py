"""What looks on while a tuning run goes: the stop that a signal asks for, the end of a run that diverged, a log of JSON lines, a progress bar.

It knows the Trainer's callbacks. It refuses to know checkpoints and losses.
"""

import json
import math
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from transformers import TrainerCallback

from slipway_training.errors import Diverged
from slipway_training.pretrain.speed import peak_flops
from slipway_training.progress import Rate, RunBar
from slipway_training.tuning import processes

TOKENS = "num_tokens"
"""Under this name TRL logs how many tokens were read."""


class Stop(TrainerCallback):
    """Asks for a checkpoint and the end of training once a signal came to any process: all must leave at the same step."""

    def __init__(self, stopped: Any) -> None:
        self._stopped, self.came = stopped, False

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        if processes.here().any(self._stopped()) and state.global_step < state.max_steps:
            self.came = control.should_training_stop = control.should_save = True
        return control


class Finite(TrainerCallback):
    """Ends a run whose loss or gradient is no number, before a checkpoint of it is written. Raises Diverged."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        for name in ("loss", "grad_norm"):
            if logs and name in logs and not math.isfinite(float(logs[name])):
                raise Diverged(
                    f"{name} of step {state.global_step} is {float(logs[name])}: the run diverged; lower optim.learning_rate and choose another run.out"
                )


class Log(TrainerCallback):
    """One JSON line for every step."""

    def __init__(self, path: Path, *, resumed: bool) -> None:
        self._path, self._tokens = path, 0.0
        if not resumed:
            path.write_text("", encoding="utf-8")

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        lines = [json.loads(line) for line in self._path.read_text(encoding="utf-8").splitlines()]
        kept = [line for line in lines if line["step"] <= state.global_step]
        self._path.write_text("".join(f"{json.dumps(line)}\n" for line in kept), encoding="utf-8")
        self._tokens = kept[-1].get(TOKENS, 0.0) if kept else 0.0  # TRL counts anew when a run goes on

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        if logs and "loss" in logs:
            numbers = {"step": state.global_step, **{k: v for k, v in logs.items() if isinstance(v, int | float)}}
            if TOKENS in numbers:
                numbers[TOKENS] += self._tokens
            with self._path.open("a", encoding="utf-8") as out:
                out.write(json.dumps(numbers) + "\n")


class Bar(TrainerCallback):
    """Loss, tokens/s, MFU and ETA: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console, what: str, trainer: Any) -> None:
        """`trainer` counts the tokens that this process reads (`tokens_read`) and knows what one costs (`flops_per_token`)."""
        self._bar, self._rate, self._trainer = RunBar(console, what), Rate(), trainer
        self._peak = peak_flops(trainer.args.device)
        self._begun, self._first = time.monotonic(), 0

    def __enter__(self) -> "Bar":
        self._bar.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._bar.__exit__(*error)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._begun, self._first = time.monotonic(), state.global_step
        self._rate.after(0.0, 0)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        if not logs or "loss" not in logs:
            return
        spent, done = time.monotonic() - self._begun, state.global_step
        rate = self._rate.after(spent, self._trainer.tokens_read)
        mfu = rate * self._trainer.flops_per_token / self._peak
        say = f"{rate * processes.here().world:,.0f} tok/s MFU {mfu:.1%} loss {float(logs['loss']):.3f} lr {float(logs.get('learning_rate', 0.0)):.1e}"
        left = spent / max(1, done - self._first) * (state.max_steps - done)
        self._bar.show(done, done / max(1, state.max_steps), say, left)
