"""Which rank, which alpha and which layers: Optuna over short LoRA runs, the hopeless ones stopped half-way, with a report.

It knows the study (SQLite, so that a stopped search goes on) and the plot. It refuses to know what a run is made of.
"""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback

from slipway_training.errors import StackMissing
from slipway_training.signals import stop_on_signal
from slipway_training.tuning import finish
from slipway_training.tuning.base import open_base
from slipway_training.tuning.config import Adapter, LoraConfig
from slipway_training.tuning.rows import Tokens

try:
    import optuna
except ImportError as error:  # pragma: no cover - depends on the installation
    raise StackMissing(error.name or "optuna", "tune") from error


def search(config: LoraConfig, base: Path, tokens: Tokens, folder: Path, console: Console) -> Adapter | None:
    """The adapter with the lowest held-out loss after `search.steps`; None when a signal stopped the search. The report stands in `folder`."""
    study = open_study(folder, f"lora-{config.name}", config.run.seed)
    begun = time.monotonic()
    with stop_on_signal() as stopped:
        while sum(t.state.is_finished() for t in study.trials) < config.search.trials and not stopped():
            if config.search.minutes and study.trials and time.monotonic() - begun > 60 * config.search.minutes:
                console.print(f"the search ends after search.minutes={config.search.minutes:g}", highlight=False)
                break
            study.optimize(lambda trial: _trial(trial, config, base, tokens), n_trials=1)
            last = study.trials[-1]
            console.print(f"trial {last.number}: {last.params} {last.state.name.lower()} {_said(last)}", highlight=False)
        if stopped():
            return None
    report(study, folder, f"held-out loss after {config.search.steps} steps")
    return adapter_of(study.best_params, config.adapter.dropout)


def open_study(folder: Path, name: str, seed: int, *, highest: bool = False) -> "optuna.Study":
    """A study to minimise (`highest`: to maximise) in `folder`/study.db, the earlier one where it stands."""
    folder.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name=name, storage=f"sqlite:///{(folder / 'study.db').resolve()}", load_if_exists=True,
        direction="maximize" if highest else "minimize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=3),
    )  # fmt: skip
    # A sampler that began with the same seed in every call would draw the first trials again.
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials))
    return study


def adapter_of(params: dict[str, Any], dropout: float) -> Adapter:
    """The adapter that a trial's parameters name."""
    rank = int(params["rank"])
    return Adapter(rank=rank, alpha=rank * float(params["alpha_per_rank"]), targets=params["targets"], dropout=dropout)


def _trial(trial: "optuna.Trial", config: LoraConfig, base: Path, tokens: Tokens) -> float:
    """Held-out loss after a short run; asked half-way whether it is worth going on."""
    from slipway_training.tuning.lora import peft_config
    from slipway_training.tuning.sft import make_trainer

    params = {
        "rank": trial.suggest_categorical("rank", list(config.search.ranks)),
        "alpha_per_rank": trial.suggest_categorical("alpha_per_rank", list(config.search.alphas)),
        "targets": trial.suggest_categorical("targets", list(config.search.targets)),
    }
    short = config.model_copy(update={"optim": config.optim.model_copy(update={"max_steps": config.search.steps})})
    with tempfile.TemporaryDirectory() as scratch:
        wrapped = peft_config(adapter_of(params, config.adapter.dropout))
        trainer: Any = make_trainer(open_base(base), tokens, short, Path(scratch), peft_config=wrapped)
        half = _Half(trial, trainer, tokens, config.search.steps // 2)
        trainer.add_callback(half)
        trainer.remove_callback(PrinterCallback)
        trainer.args.save_strategy = "no"
        trainer.train()
    trial.set_user_attr("trained", sum(p.numel() for p in trainer.model.parameters() if p.requires_grad))
    if half.pruned:
        raise optuna.TrialPruned
    return finish.mean_loss(trainer.model, tokens.held_out or tokens.train)


class _Half(TrainerCallback):
    """Reports the held-out loss half-way and ends a trial that is worse than the median of the others."""

    def __init__(self, trial: "optuna.Trial", trainer: Any, tokens: Tokens, step: int) -> None:
        self._trial, self._trainer, self._tokens, self._step = trial, trainer, tokens, step
        self.pruned = False

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        if state.global_step == self._step:
            self._trial.report(finish.mean_loss(self._trainer.model, self._tokens.held_out or self._tokens.train), self._step)
            self.pruned = control.should_training_stop = self._trial.should_prune()
        return control


def report(study: "optuna.Study", folder: Path, metric: str) -> Path:
    """trials.json, search.svg and README.md: every trial by its `metric`, the best marked."""
    done = [t for t in study.trials if t.state.is_finished()]
    rows = [{"number": t.number, "state": t.state.name.lower(), "value": t.value, "params": t.params, **t.user_attrs} for t in done]
    (folder / "trials.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    best = study.best_trial
    lines = [
        f"# {study.study_name}",
        "",
        f"Best: trial {best.number}, {best.value:.4f} ({metric}, the {'lowest' if _lowest(study) else 'highest'} of {len(done)} trials)",
        "",
        f"| trial | parameters | {metric} |",
        "|---|---|---|",
    ]
    sign = 1.0 if _lowest(study) else -1.0
    for t in sorted(done, key=lambda t: (t.value is None, sign * (t.value or 0.0))):
        said = ", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in t.params.items())
        lines.append(f"| {t.number} | {said} | {_said(t)} |")
    draw(done, folder / "search.svg", f"{metric} ({'lower' if _lowest(study) else 'higher'} is better)")
    page = folder / "README.md"
    page.write_text("\n".join([*lines, "", "![trials](search.svg)", ""]), encoding="utf-8")
    return page


def _lowest(study: "optuna.Study") -> bool:
    return study.direction == optuna.study.StudyDirection.MINIMIZE


def draw(trials: "list[optuna.trial.FrozenTrial]", path: Path, label: str) -> None:
    """The value of every finished trial over each parameter; `label` says what the value is."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise StackMissing("matplotlib") from error
    done = [t for t in trials if t.state == optuna.trial.TrialState.COMPLETE and t.value is not None]
    names = sorted({name for t in done for name in t.params})
    figure = Figure(figsize=(3.2 * max(1, len(names)), 2.8), layout="constrained")
    axes: Any = figure.subplots(1, max(1, len(names)), sharey=True, squeeze=False)[0]
    for axis, name in zip(axes, names, strict=False):
        points = [(t.params[name], float(t.value or 0.0)) for t in done if name in t.params]
        numeric = all(isinstance(x, int | float) for x, _ in points)
        axis.scatter([x if numeric else str(x) for x, _ in points], [y for _, y in points])
        if numeric and min(x for x, _ in points) > 0 and max(x for x, _ in points) / min(x for x, _ in points) > 4:
            axis.set_xscale("log")
        axis.set_xlabel(name)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel(label)
    figure.savefig(path, metadata={"Date": None})


def _said(trial: "optuna.trial.FrozenTrial") -> str:
    return f"{trial.value:.4f}" if trial.state == optuna.trial.TrialState.COMPLETE and trial.value is not None else trial.state.name.lower()
