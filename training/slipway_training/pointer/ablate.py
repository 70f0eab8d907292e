"""Ablations of the pointer recipe: short legs that differ from the full recipe in one thing, read on the same questions, with paired intervals.

It knows legs, the budget, what is kept of a finished leg, and how two legs are compared. It refuses to know training, export and sets.

Every leg sees the same number of lists from the same sources and is exported to int8 as the served reader is. An interval covers the questions of a set, not
the draw of a training run: the leg `seed` shows how large that is.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field
from rich.console import Console
from slipway_shared.grounding import is_abstention

from slipway_training.errors import ConfigError
from slipway_training.evaluation.pointers import PointerReader
from slipway_training.evaluation.report import SETS
from slipway_training.evaluation.scores import RESAMPLES, Figure, Item, exact, f1, paired
from slipway_training.evaluation.sets import answers, build_set
from slipway_training.pointer.batches import read_sources
from slipway_training.pointer.config import PointerConfig
from slipway_training.pointer.recipe import FLAVORS, export_run
from slipway_training.pointer.train import Prepared, start, train_pointer
from slipway_training.recipes import FOLDER, TINY, recipe
from slipway_training.sources.provenance import data_dir

LEGS = FOLDER / "pointer" / "ablations.yaml"
FULL = "full"


class Leg(BaseModel):
    """One change: overrides laid over the base, and what it asks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    change: tuple[str, ...] = ()
    asks: str = ""


class Plan(BaseModel):
    """All legs; the one named `full` is what the others are compared with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: tuple[str, ...] = ()
    items: Annotated[int, Field(ge=10, description="questions of each set that are answered")] = 200
    legs: Annotated[dict[str, Leg], Field(min_length=2)]


class Finished(BaseModel):
    """What is kept of a leg: everything that a comparison needs."""

    model_config = ConfigDict(frozen=True)

    config: dict[str, object]
    seconds: float
    replies: dict[str, list[str]]


def load_plan(path: Path) -> Plan:
    """The legs of a YAML file; raises ConfigError."""
    if not path.is_file():
        raise ConfigError(f"{path} is missing")
    try:
        plan = Plan.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {error}") from error
    if FULL not in plan.legs:
        raise ConfigError(f"{path}: one leg is named {FULL}, the others are compared with it")
    return plan


def run_ablations(plan: Plan, out: Path, minutes: float, console: Console, *, tiny: bool = False) -> dict[str, Finished]:
    """Train and read every leg that fits into `minutes` (0: all); finished ones are taken from `out`. The legs that were left out are said."""
    begun, done = time.monotonic(), dict[str, Finished]()
    configs = {name: _config(plan, leg, out / name, tiny=tiny) for name, leg in plan.legs.items()}
    prepared: Prepared | None = None
    items = _items(configs[FULL], plan.items, tiny=tiny)
    for name, config in configs.items():
        kept = out / name / "finished.json"
        found = Finished.model_validate_json(kept.read_text(encoding="utf-8")) if kept.is_file() else None
        if found is not None and found.config == _identity(config, plan.items):
            done[name] = found
            continue
        longest = max((leg.seconds for leg in done.values()), default=0.0)
        if minutes and time.monotonic() - begun + longest > 60 * minutes:
            console.print(f"{name}: left out, it does not fit into what is left of {minutes:g} minutes")
            continue
        prepared = prepared or _prepare(configs[FULL], console)
        console.print(f"[bold]{name}[/] {' '.join(plan.legs[name].change)}", highlight=False)
        done[name] = _leg(config, prepared, items, plan.items, console)
        kept.write_text(done[name].model_dump_json(), encoding="utf-8")
    return done


def compare(items: Mapping[str, Sequence[Item]], full: Finished, leg: Finished) -> dict[str, dict[str, Figure]]:
    """By set: `em` and `f1` of the answerable questions and `abstention_f1` of all, each as leg minus full with its paired-bootstrap interval."""
    out: dict[str, dict[str, Figure]] = {}
    for name, asked in items.items():
        ours, theirs = leg.replies[name], full.replies[name]
        held = [i for i, item in enumerate(asked) if item.number]
        out[name] = {
            key: paired([_scored(rule, asked[i], ours[i]) for i in held], [_scored(rule, asked[i], theirs[i]) for i in held])
            for key, rule in (("em", exact), ("f1", f1))
        }
        out[name]["abstention_f1"] = _paired_abstention([not i.number for i in asked], ours, theirs)
    return out


def figures(items: Sequence[Item], replies: Sequence[str]) -> dict[str, float]:
    """`em`, `f1`, `abstention_f1` of one leg on one set."""
    held = [(item, reply) for item, reply in zip(items, replies, strict=True) if item.number]
    wanted, got = np.array([not i.number for i in items]), np.array([is_abstention(r) for r in replies])
    return {
        "em": float(np.mean([_scored(exact, i, r) for i, r in held])), "f1": float(np.mean([_scored(f1, i, r) for i, r in held])),
        "abstention_f1": _f1(wanted, got),
    }  # fmt: skip


def sets_of(plan: Plan, *, tiny: bool) -> dict[str, list[Item]]:
    """The questions by set: what `run_ablations` asked."""
    return _items(_config(plan, plan.legs[FULL], Path(), tiny=tiny), plan.items, tiny=tiny)


def _leg(config: PointerConfig, prepared: Prepared, items: Mapping[str, list[Item]], limit: int, console: Console) -> Finished:
    before, folder = time.monotonic(), Path(config.run.out)
    trained = train_pointer(config, lambda line: console.print(line, highlight=False), prepared)
    if not trained.done:
        raise ConfigError("stopped; the same command goes on from here")
    flavor = export_run(folder, folder / "flavors", FLAVORS, console)[0]
    reader = PointerReader(flavor)
    replies = {name: answers(asked, reader.answer, lambda: None) for name, asked in items.items()}
    return Finished(config=_identity(config, limit), seconds=time.monotonic() - before, replies=replies)


def _prepare(config: PointerConfig, console: Console) -> Prepared:
    sources = read_sources(config, lambda line: console.print(line, highlight=False))
    return Prepared(sources, start(config, sources)[1])


def _config(plan: Plan, leg: Leg, out: Path, *, tiny: bool) -> PointerConfig:
    chosen = recipe("pointer")
    base = ["optim.average=0.9"] if tiny else list(plan.base)
    path = FOLDER / "pointer" / TINY if tiny else None
    typed = chosen.load(path, [*base, *leg.change, f"run.out={out}"], tiny=tiny)
    assert isinstance(typed, PointerConfig)
    return typed


def _identity(config: PointerConfig, limit: int) -> dict[str, object]:
    return {**config.model_dump(mode="json", exclude={"run": {"out", "data_dir", "threads"}}), "items": limit}


def _items(config: PointerConfig, limit: int, *, tiny: bool) -> dict[str, list[Item]]:
    if tiny:
        return {"lookup_unseen": build_set("lookup_unseen", None)[:limit]}
    root = data_dir(config.run.data_dir)
    return {name: build_set(name, root)[:limit] for name in SETS}


def _scored(rule: Callable[[str, Sequence[str]], float], item: Item, reply: str) -> float:
    return rule(reply, item.answers) if not is_abstention(reply) else 0.0


def _f1(wanted: "np.ndarray[tuple[int], np.dtype[np.bool_]]", got: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> float:
    return 2 * int((wanted & got).sum()) / max(1, int(wanted.sum()) + int(got.sum()))


def _paired_abstention(wanted: Sequence[bool], ours: Sequence[str], theirs: Sequence[str], seed: int = 0) -> Figure:
    """The difference of two F1 of abstaining; each resample draws the same questions for both."""
    gold = np.array(wanted)
    first, second = (np.array([is_abstention(r) for r in replies]) for replies in (ours, theirs))
    rng = np.random.default_rng(seed)
    draws = [_f1(gold[r], first[r]) - _f1(gold[r], second[r]) for r in (rng.integers(0, len(gold), len(gold)) for _ in range(RESAMPLES))]
    low, high = np.percentile(draws, [2.5, 97.5])
    return Figure(_f1(gold, first) - _f1(gold, second), float(low), float(high), len(gold))


def report(plan: Plan, done: Mapping[str, Finished], items: Mapping[str, Sequence[Item]]) -> tuple[str, dict[str, object]]:
    """The Markdown table and the same as plain values: each leg's F1 and its difference to `full` by set."""
    rows, plain = ["| leg | change | " + " | ".join(f"{s}: F1, difference" for s in items) + " | abstention F1 |"], dict[str, object]()
    rows.append("|---|---|" + "---|" * (len(items) + 1))
    for name, leg in done.items():
        now = {s: figures(asked, leg.replies[s]) for s, asked in items.items()}
        gaps = compare(items, done[FULL], leg) if name != FULL and FULL in done else {}
        cells = [f"{now[s]['f1']:.3f}" + (f", {_signed(gaps[s]['f1'])}" if gaps else "") for s in items]
        abstain = " / ".join(f"{now[s]['abstention_f1']:.2f}" for s in items)
        rows.append(
            f"| {name} | {', '.join(f'`{c}`' for c in plan.legs[name].change) or plan.legs[name].asks} | {' | '.join(cells)} | {abstain} |"
        )
        plain[name] = {
            "change": plan.legs[name].change, "seconds": round(leg.seconds, 1), "figures": now,
            "difference": {s: {k: [f.mean, f.low, f.high, f.n] for k, f in g.items()} for s, g in gaps.items()},
        }  # fmt: skip
    return "\n".join(rows) + "\n", plain


def _signed(figure: Figure) -> str:
    return f"{figure.mean:+.3f} [{figure.low:+.3f}, {figure.high:+.3f}]"


def write_report(folder: Path, table: str, plain: Mapping[str, object]) -> None:
    """`ablations.md` and `ablations.json` in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ablations.md").write_text(table, encoding="utf-8")
    (folder / "ablations.json").write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
