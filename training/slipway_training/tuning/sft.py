"""Supervised tuning on conversations: TRL's SFTTrainer over our token rows.

It knows the order of a run. Rows are tokenized here, so that the loss falls on exactly the tokens that `rows.encode` names, whatever the template is.

    OUT/base/                made base (only where model.base is empty)
    OUT/checkpoints/         safetensors and JSON, see trainers.py
    OUT/hf/, report.json, provenance.json, log.jsonl, loss.svg
"""

from pathlib import Path
from typing import Any

from rich.console import Console
from slipway_shared.lean import without

from slipway_training.errors import StackMissing
from slipway_training.tuning import finish, processes, rows
from slipway_training.tuning.base import Opened, make_base, open_base, weights_digest
from slipway_training.tuning.config import SftConfig, TuningConfig
from slipway_training.tuning.plan import tuning_rows
from slipway_training.tuning.rows import Tokens
from slipway_training.tuning.trainers import SafeCheckpoints, arguments, fit, hushed, remember

try:
    import datasets
    from datasets import Dataset

    with without("wandb"):  # TRL imports it where it is installed, asked for or not; trackers.py imports it when it is
        from trl.trainer.sft_config import SFTConfig as TrlConfig
        from trl.trainer.sft_trainer import SFTTrainer
except ImportError as error:  # pragma: no cover - depends on the installation
    raise StackMissing(error.name or "trl", "tune") from error


class Trainer(SafeCheckpoints, SFTTrainer):
    """SFTTrainer without pickles."""


def run(config: SftConfig, console: Console) -> bool:
    """Tune to the end and write `hf/` (True), or to a signal (False). Raises TrainingError."""
    shared = processes.join()
    folder, console = Path(config.run.out), shared.console(console)
    opened, tokens = prepare(config, folder, console)
    remember(config, folder, weights_digest(opened.folder), tokens.count)
    before = finish.mean_loss(opened.model, tokens.held_out)
    trainer = make_trainer(opened, tokens, config, folder)
    if not fit(trainer, config, folder, console, "sft"):
        return False
    if not shared.first:
        return True
    model: Any = trainer.model
    after = finish.mean_loss(model, tokens.held_out)
    finish.write_hf(model, opened, folder)
    report = {**counts(tokens, trainer), "held_out_loss_before": before, "held_out_loss": after}
    finish.write_report(folder, report, {"rows": rows.provenance(config.data)}, opened.folder)
    console.print(f"held-out loss {before:.3f} -> {after:.3f} nats a token; {folder / 'hf'} is ready", highlight=False)
    return True


def plan(config: SftConfig) -> list[tuple[str, str]]:
    """What the run costs here: (what, value)."""
    return tuning_rows(config)


def prepare(config: SftConfig, folder: Path, console: Console) -> tuple[Opened, Tokens]:
    """Base and token rows; raises ConfigError, DataMissing."""
    found = rows.read_rows(config.data)
    opened = open_base(base_folder(config, found, folder))
    tokens = rows.tokenize(found, opened.tokenizer, config.data, assistant_only=config.assistant_only)
    if tokens.too_long:
        console.print(f"{tokens.too_long} of {len(found)} rows are longer than data.max_tokens={config.data.max_tokens} and left out")
    return opened, tokens


def base_folder(config: TuningConfig, found: list[dict[str, Any]], folder: Path) -> Path:
    """`model.base`, or a made base whose vocabulary comes from the rows; the first process makes it."""
    folder.mkdir(parents=True, exist_ok=True)
    if config.model.base:
        return Path(config.model.base)
    texts = [m["content"] for row in found for key in ("messages", "prompt", "chosen") for m in row.get(key, ())]
    with processes.here().first_before_others():
        return make_base(config.model, texts, folder / "base", config.run.seed)


def make_trainer(opened: Opened, tokens: Tokens, config: SftConfig, folder: Path, **more: Any) -> Trainer:
    """The trainer over `tokens`; `more` goes to SFTTrainer, such as peft_config."""
    datasets.disable_progress_bars()
    count = len(tokens.train) if not config.packing else max(1, tokens.count // config.data.max_tokens)
    args = TrlConfig(**arguments(config, folder, count), packing=config.packing, max_length=config.data.max_tokens)
    data = Dataset.from_list(tokens.train)
    with hushed():
        return Trainer(model=opened.model, args=args, train_dataset=data, processing_class=opened.tokenizer, **more)


def counts(tokens: Tokens, trainer: Any) -> dict[str, object]:
    """Sizes and speed for the report."""
    last: dict[str, Any] = trainer.state.log_history[-1] if trainer.state.log_history else {}
    return {
        "parameters": sum(p.numel() for p in trainer.model.parameters()), "rows": len(tokens.train), "held_out_rows": len(tokens.held_out),
        "too_long": tokens.too_long, "tokens": tokens.count, "steps": trainer.state.global_step, "seconds": last.get("train_runtime", 0.0),
    }  # fmt: skip
