"""Direct preference optimization: TRL's DPOTrainer over pairs from a file, or over the model's own right and wrong answers.

It knows the order of a run. It refuses to make pairs that no verifier told apart.

    OUT/pairs.jsonl          what was learnt from (with best.samples: drawn from the base itself)
    OUT/hf/, report.json, provenance.json, log.jsonl, loss.svg, checkpoints/
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from slipway_shared.lean import without

from slipway_training.data.progress import Bars
from slipway_training.errors import ConfigError, StackMissing
from slipway_training.tuning import finish, processes, rows
from slipway_training.tuning.base import Opened, open_base, weights_digest
from slipway_training.tuning.config import DpoConfig
from slipway_training.tuning.plan import tuning_rows
from slipway_training.tuning.rewards import judge
from slipway_training.tuning.sampling import best_of
from slipway_training.tuning.sft import base_folder
from slipway_training.tuning.trainers import SafeCheckpoints, arguments, fit, hushed, remember

try:
    import datasets
    from datasets import Dataset

    with without("wandb"):  # TRL imports it where it is installed, asked for or not; trackers.py imports it when it is
        from trl.trainer.dpo_config import DPOConfig as TrlConfig
        from trl.trainer.dpo_trainer import DPOTrainer
except ImportError as error:  # pragma: no cover - depends on the installation
    raise StackMissing(error.name or "trl", "tune") from error

Pairs = list[dict[str, Any]]


class Trainer(SafeCheckpoints, DPOTrainer):
    """DPOTrainer without pickles."""


def run(config: DpoConfig, console: Console) -> bool:
    """Tune to the end and write `hf/` (True), or to a signal (False). Raises TrainingError."""
    shared = processes.join()
    folder, console = Path(config.run.out), shared.console(console)
    found = rows.read_rows(config.data, pairs=not config.best.samples)
    opened = open_base(base_folder(config, found, folder))
    pairs, drawn = _pairs(config, opened, found, folder, console)
    train = [p for p in pairs if not rows.held_out(p, config.data.held_out)]
    held = [p for p in pairs if rows.held_out(p, config.data.held_out)]
    if not train:
        raise ConfigError(
            "no pair is left to train on; a larger best.samples or best.questions, or a base that answers some questions rightly"
        )
    remember(config, folder, weights_digest(opened.folder), len(pairs))
    before = preferred(opened.model, opened.tokenizer, held)
    trainer = make_trainer(opened, train, config, folder)
    if not fit(trainer, config, folder, console, "dpo"):
        return False
    if not shared.first:
        return True
    model: Any = trainer.model
    after = preferred(model, opened.tokenizer, held)
    finish.write_hf(model, opened, folder)
    report: dict[str, object] = {
        "parameters": sum(p.numel() for p in model.parameters()), "pairs": len(train), "held_out_pairs": len(held), "steps": trainer.state.global_step,
        "preferred_before": before[0], "preferred": after[0], "margin_before": before[1], "margin": after[1],
        "rewards": _mean_rewards(pairs, config), "sampling": drawn,
    }  # fmt: skip
    finish.write_report(folder, report, {"rows": rows.provenance(config.data), "pairs": _made_by(config)}, opened.folder)
    console.print(
        f"chosen over rejected in {before[0]:.0%} -> {after[0]:.0%} of {len(held)} held-out pairs; {folder / 'hf'} is ready",
        highlight=False,
    )
    return True


def plan(config: DpoConfig) -> list[tuple[str, str]]:
    """What the run costs here: (what, value). The frozen reference's forward pass is a third of a step more."""
    table = tuning_rows(config, forwards=4 / 3)
    if config.best.samples:
        table.append(
            (
                "sampling",
                f"{config.best.samples} answers of at most {config.best.max_new_tokens} tokens to each of up to {config.best.questions:,} questions",
            )
        )
    return table


def make_trainer(opened: Opened, pairs: Pairs, config: DpoConfig, folder: Path) -> Trainer:
    """The trainer over `pairs`; the reference is the base as it stands in its folder."""
    datasets.disable_progress_bars()
    args = TrlConfig(
        **arguments(config, folder, len(pairs)), beta=config.beta, loss_type=[config.loss], max_length=config.data.max_tokens,
    )  # fmt: skip
    reference = open_base(opened.folder).model
    with hushed():
        return Trainer(
            model=opened.model, ref_model=reference, args=args, train_dataset=Dataset.from_list(pairs), processing_class=opened.tokenizer
        )


@torch.inference_mode()
def preferred(model: Any, tokenizer: Any, pairs: Pairs) -> tuple[float, float]:
    """How often the chosen answer is likelier a token than the rejected one, and the mean difference in nats a token; nan without pairs."""
    if not pairs:
        return float("nan"), float("nan")
    gaps = [_logprob(model, tokenizer, p, "chosen") - _logprob(model, tokenizer, p, "rejected") for p in pairs]
    return sum(g > 0 for g in gaps) / len(gaps), sum(gaps) / len(gaps)


def _logprob(model: Any, tokenizer: Any, pair: dict[str, Any], key: str) -> float:
    ids, said = rows.encode([*pair["prompt"], *pair[key]], tokenizer)
    return -finish.mean_loss(model, [{"input_ids": ids, "labels": [i if s else rows.IGNORED for i, s in zip(ids, said, strict=True)]}])


def _pairs(config: DpoConfig, opened: Opened, found: Pairs, folder: Path, console: Console) -> tuple[Pairs, dict[str, int] | None]:
    """Pairs that fit, and the tally of the sampling; drawn once and kept, so that a run that goes on learns from the same."""
    kept, drawn = folder / "pairs.jsonl", None
    if config.best.samples:
        record = folder / "sampling.json"
        with processes.here().first_before_others():
            if not (kept.is_file() and record.is_file()):
                asked = min(len(found), config.best.questions) * config.best.samples
                with Bars(console) as bars, bars.step("samples", asked, "answers") as said:
                    found, tally = best_of(opened, found, config.best, config.rewards, config.run.seed, said)
                kept.write_text("".join(json.dumps(p) + "\n" for p in found), encoding="utf-8")
                record.write_text(json.dumps(asdict(tally)), encoding="utf-8")
        found = [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()]
        drawn = json.loads(record.read_text(encoding="utf-8"))
        console.print(
            f"{drawn['right']} of {drawn['samples']} samples are right; {drawn['pairs']} pairs of {drawn['questions']} questions",
            highlight=False,
        )
    short = [p for p in found if _longest(p, opened.tokenizer) <= config.data.max_tokens]
    if len(short) < len(found):
        console.print(f"{len(found) - len(short)} pairs are longer than data.max_tokens={config.data.max_tokens} and left out")
    return short, drawn


def _longest(pair: dict[str, Any], tokenizer: Any) -> int:
    return max(len(rows.encode([*pair["prompt"], *pair[key]], tokenizer)[0]) for key in ("chosen", "rejected"))


def _mean_rewards(pairs: Pairs, config: DpoConfig) -> dict[str, dict[str, float]]:
    """What the rules say of both sides: a file whose rejected answers are the better ones shows here."""
    out: dict[str, dict[str, float]] = {}
    for key in ("chosen", "rejected"):
        judged = [judge(p[key][-1]["content"], config.rewards) for p in pairs]
        out[key] = {name: sum(j.parts[name] for j in judged) / len(judged) for name in judged[0].parts}
    return out


def _made_by(config: DpoConfig) -> dict[str, object]:
    if not config.best.samples:
        return {"from": "the rows' own chosen and rejected answers"}
    return {"from": "the base's own samples, right ones chosen by the number that they end on", **config.best.model_dump(mode="json")}
