"""Runs the legs: each a run of the pretrain recipe in a folder of its own, kept when it is finished and never run twice.

It knows the order of work, the budget, and what is kept of a leg. It refuses to know training and plots.
"""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from rich.console import Console

from slipway_training.errors import TrainingError
from slipway_training.portfolio.corpus import prepare
from slipway_training.portfolio.plan import FULL, Plan, Transfer
from slipway_training.pretrain.config import PretrainConfig
from slipway_training.recipes import recipe


class Finished(BaseModel):
    """One run: held-out loss in nats a token, its model's size, the clock, and the configuration that it is the result of."""

    model_config = ConfigDict(frozen=True)

    held_out: float
    parameters: int
    tokens: int
    seconds: float
    config: dict[str, object]


@dataclass(frozen=True, slots=True)
class Job:
    """One run to be made: `name` is its folder below the portfolio's."""

    name: str
    config: PretrainConfig
    keep_weights: bool = False


@dataclass
class Made:
    """What is finished: by leg and seed, and by (form, width, rate) of the transfer; `left_out` names the jobs that did not fit into the budget."""

    legs: dict[str, dict[int, Finished]] = field(default_factory=dict[str, dict[int, Finished]])
    transfer: dict[tuple[str, int, float], Finished] = field(default_factory=dict[tuple[str, int, float], Finished])
    left_out: list[str] = field(default_factory=list[str])


def run_all(plan: Plan, out: Path, minutes: float, console: Console, data: str = "") -> Made:
    """Every seed of every leg, leg by leg, then the transfer; a job that would end after `minutes` (0: no bound) is left out and said."""
    out.mkdir(parents=True, exist_ok=True)
    rows = out / "rows"
    prepare(rows, plan.text.vocab_size, plan.text.context_tokens, plan.text.characters, data)
    made, clock = Made(), _Budget(minutes)
    for name, leg in plan.legs.items():
        for seed in plan.seeds:
            config = config_of(plan, rows, (*leg.change, f"run.seed={seed}"), out / f"{name}-{seed}")
            found = _once(Job(f"{name}-{seed}", config, keep_weights=name == FULL and seed == plan.seeds[0]), clock, made, console)
            if found is not None:
                made.legs.setdefault(name, {})[seed] = found
    for key, config in transfer_configs(plan, rows, out).items():
        found = _once(Job("transfer-{}-{}-{:g}".format(*key), config), clock, made, console)
        if found is not None:
            made.transfer[key] = found
    return made


def config_of(plan: Plan, rows: Path, change: tuple[str, ...], out: Path) -> PretrainConfig:
    """The recipe with the plan's base and one change; raises ConfigError."""
    quiet = ("run.checkpoint_every_steps=1000000", "run.eval_every_steps=1000000")
    typed = recipe("pretrain").load(None, [*plan.base, *quiet, f"data.packed={rows}", *change, f"run.out={out}"], tiny=False)
    assert isinstance(typed, PretrainConfig)
    return typed


def transfer_configs(plan: Plan, rows: Path, out: Path) -> dict[tuple[str, int, float], PretrainConfig]:
    """By (form, width, rate); empty without a transfer."""
    asked = plan.transfer
    if asked is None:
        return {}
    return {
        (form, width, rate): config_of(plan, rows, _shape(asked, form, width, rate), out / f"transfer-{form}-{width}-{rate:g}")
        for form in ("standard", "mup")
        for width in asked.widths
        for rate in asked.rates
    }


def _shape(asked: Transfer, form: str, width: int, rate: float) -> tuple[str, ...]:
    heads = width // asked.head_width
    return (
        f"model.width={width}", f"model.heads={heads}", f"model.kv_heads={heads}", f"model.mlp_width={2 * width}", "model.tied=false",
        f"model.init={'mup' if form == 'mup' else 'normal'}", f"model.base_width={asked.widths[0]}", f"optim.learning_rate={rate}",
        f"run.tokens={asked.tokens}", "optim.spike=0",
    )  # fmt: skip


class _Budget:
    def __init__(self, minutes: float) -> None:
        self._end = time.monotonic() + 60 * minutes if minutes else float("inf")
        self.longest = 0.0

    def allows(self) -> bool:
        """Whether a run as long as the longest so far would end in time."""
        return time.monotonic() + self.longest <= self._end


def _once(job: Job, clock: _Budget, made: Made, console: Console) -> Finished | None:
    folder = Path(job.config.run.out)
    kept, identity = folder / "finished.json", _identity(job.config)
    if kept.is_file():
        found = Finished.model_validate_json(kept.read_text(encoding="utf-8"))
        if found.config == identity:
            return found
    if not clock.allows():
        made.left_out.append(job.name)
        return None
    begun = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    run: Callable[[PretrainConfig, Console], bool] = recipe("pretrain").start  # type: ignore[assignment]
    if not run(job.config, Console(quiet=True)):
        raise TrainingError("stopped; the same command goes on from here")
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    found = Finished(
        held_out=report["held_out_loss"],
        parameters=report["parameters"],
        tokens=report["tokens"],
        seconds=report["seconds"],
        config=identity,
    )
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    if not job.keep_weights:
        shutil.rmtree(folder / "hf", ignore_errors=True)
    kept.write_text(found.model_dump_json(), encoding="utf-8")
    clock.longest = max(clock.longest, time.monotonic() - begun)
    console.print(
        f"{job.name}: held-out loss {found.held_out:.4f}, {found.parameters:,} parameters, {found.seconds:.0f} s", highlight=False
    )
    return found


def _identity(config: PretrainConfig) -> dict[str, object]:
    """Everything that the result depends on: not where it was written."""
    return config.model_dump(mode="json", exclude={"run": {"out"}, "data": {"packed"}})
