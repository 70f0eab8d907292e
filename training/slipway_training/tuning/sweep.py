"""Sweeps: one recipe, some of its keys searched by Optuna, every trial a run in a folder of its own, all of it kept in SQLite.

It knows keys, ranges and the number that a run's report holds. It refuses to know recipes.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from rich.console import Console

from slipway_training.errors import ConfigError, Diverged, TrainingError
from slipway_training.recipes import recipe
from slipway_training.tuning.search import open_study, report

FORMS = "log:LOW:HIGH, float:LOW:HIGH, int:LOW:HIGH or choice:A,B,C"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One searched key: `kind` is log, float, int or choice."""

    key: str
    kind: str
    low: float = 0.0
    high: float = 0.0
    options: tuple[str, ...] = ()

    def draw(self, trial: "optuna.Trial") -> object:
        """The trial's value."""
        if self.kind == "choice":
            return trial.suggest_categorical(self.key, list(self.options))
        if self.kind == "int":
            return trial.suggest_int(self.key, int(self.low), int(self.high))
        return trial.suggest_float(self.key, self.low, self.high, log=self.kind == "log")


def parameter(text: str) -> Parameter:
    """`optim.learning_rate=log:1e-4:1e-2` and the like; raises ConfigError."""
    key, _, form = text.partition("=")
    kind, _, rest = form.partition(":")
    if key and kind == "choice" and rest:
        return Parameter(key, kind, options=tuple(rest.split(",")))
    try:
        low, high = map(float, rest.split(":"))
    except ValueError:
        low, high = math.nan, math.nan
    if not key or kind not in ("log", "float", "int") or not low < high or (kind == "log" and low <= 0):
        raise ConfigError(f"{text!r} is no parameter; write KEY={FORMS}")
    return Parameter(key, kind, low, high)


def sweep(
    name: str,
    parameters: Sequence[Parameter],
    overrides: Sequence[str],
    trials: int,
    metric: str,
    out: Path,
    console: Console,
    *,
    tiny: bool,
    highest: bool = False,
    config: Path | None = None,
    seed: int = 17,
) -> bool:
    """Run up to `trials` trials in all and write the report (True); False after a signal, to go on with the same words. Raises TrainingError.

    A trial that a signal stopped is put first when the sweep goes on, in the same folder, so that its run goes on too. One that diverged counts as a trial,
    the sampler takes it for a bad one, and the sweep goes on. `highest`: the highest number wins instead of the lowest.
    """
    chosen = recipe(name)
    chosen.load(config, list(overrides), tiny=tiny)  # what is wrong in the words is said before a study is begun
    identity = json.dumps([name, [repr(p) for p in parameters], list(overrides), metric, tiny, highest, str(config)])
    study = open_study(out, f"{name}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}", seed, highest=highest)
    while _done(study) < trials:
        trial = study.ask()
        words = [f"{p.key}={p.draw(trial)}" for p in parameters]
        folder = out / hashlib.sha256(json.dumps(words).encode()).hexdigest()[:12]
        try:
            ended = chosen.start(chosen.load(config, [*overrides, *words, f"run.out={folder}"], tiny=tiny), Console(quiet=True))
            value = _value(folder, metric) if ended else math.nan
        except Diverged:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            console.print(f"trial {trial.number}: {' '.join(words)} diverged", highlight=False)
            continue
        except (TrainingError, KeyboardInterrupt):
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            raise
        if not ended:
            study.enqueue_trial(trial.params)
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            return False
        study.tell(trial, value)
        console.print(f"trial {trial.number}: {' '.join(words)} {metric} {value:.4f}", highlight=False)
    if not any(t.state == optuna.trial.TrialState.COMPLETE for t in study.trials):
        raise Diverged(f"every one of {trials} trials diverged; search lower rates")
    report(study, out, metric)
    return True


def _done(study: "optuna.Study") -> int:
    return sum(t.state in (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED) for t in study.trials)


def _value(folder: Path, metric: str) -> float:
    numbers: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    if not isinstance(numbers.get(metric), int | float):
        known = ", ".join(k for k, v in numbers.items() if isinstance(v, int | float))
        raise ConfigError(f"the run's report has no number {metric!r}; it has {known}")
    return float(numbers[metric])
