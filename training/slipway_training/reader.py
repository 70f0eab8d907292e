"""One reader run, in order: prepare, build, train, draw the curve, export, check.

It knows the folder of a run. Each step lives in a module of its own; nothing is computed here.

    RUN/config.json             the recipe as it was run
    RUN/data/                   tokenizer.json, stage-*/ shards, prepared.json (provenance)
    RUN/checkpoints/step-N/     safetensors
    RUN/loss.svg                the curve
    RUN/flavors/NAME/           what a server loads
    RUN/report.json             parity of the flavors with their fp32 parent
"""

import json
from dataclasses import asdict
from pathlib import Path

import torch
from rich.console import Console
from slipway_shared.manifest import VerifiedModel
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from slipway_training import checkpoint
from slipway_training.config import ReaderConfig
from slipway_training.errors import CheckpointError
from slipway_training.evaluation.parity import parity
from slipway_training.evaluation.readers import TransformersModel, open_flavor
from slipway_training.export.release import SHIPPED, export_flavors
from slipway_training.loop import Outcome, train
from slipway_training.model import build_model
from slipway_training.plot import draw_curve
from slipway_training.prepare import Prepared, prepare
from slipway_training.progress import RunProgress
from slipway_training.sampler import Sampler
from slipway_training.tokenizer import END, PAD, load_tokenizer, special_id

PARITY_PROMPTS = 8
PARITY_TOKENS = 200


def run_reader(config: ReaderConfig, console: Console) -> bool:
    """Run the recipe to its end; False when a signal stopped it (then nothing is exported). Raises TrainingError."""
    torch.set_num_threads(config.run.threads)
    folder = Path(config.run.out)
    _refuse_another(config, folder)
    prepared = prepare(config, folder / "data", console.print)
    (folder / "config.json").write_text(config.model_dump_json(indent=1), encoding="utf-8")
    model = _fresh(config, prepared.tokenizer)
    outcome = _train(config, prepared, model, folder, console)
    draw_curve(outcome.cursor.history, folder / "loss.svg")
    if outcome.done:
        export_run(folder, folder / "flavors", console)
    return outcome.done


def export_run(folder: Path, to: Path, console: Console, flavors: tuple[str, ...] = SHIPPED) -> list[VerifiedModel]:
    """Export the newest checkpoint of the run in `folder`, measure parity, and write the report. Raises CheckpointError, ExportError."""
    recipe = folder / "config.json"
    if not recipe.is_file():
        raise CheckpointError(f"{folder} holds no run (no config.json)")
    config = ReaderConfig.model_validate_json(recipe.read_text(encoding="utf-8"))
    tokenizer = load_tokenizer(folder / "data" / "tokenizer.json")
    model = _fresh(config, tokenizer)
    cursor, notes = checkpoint.restore(folder / "checkpoints", model, None, None)
    for note in notes:
        console.print(note)
    if cursor is None:
        raise CheckpointError(f"{folder} holds no checkpoint yet")
    console.print(f"exporting step {cursor.batch} ({cursor.tokens:,} tokens)")
    with console.status("exporting"):
        made = export_flavors(model, tokenizer, to, config.name, flavors)
    rows = {v.manifest.flavor: _parity(v, model, tokenizer, folder) for v in made}
    for name, row in rows.items():
        console.print(f"{name}: {row}", highlight=False)
    (folder / "report.json").write_text(
        json.dumps({"tokens": cursor.tokens, "steps": cursor.batch, "parity": rows}, indent=1), encoding="utf-8"
    )
    return made


def _refuse_another(config: ReaderConfig, folder: Path) -> None:
    """Raises CheckpointError when `folder` holds checkpoints of another recipe: before its data and configuration are overwritten."""
    path = folder / "config.json"
    if path.is_file() and any((folder / "checkpoints").glob("step-*")):
        before = ReaderConfig.model_validate_json(path.read_text(encoding="utf-8"))
        kept = [(c.model, c.data, c.optim, c.run.seed, c.run.init_from) for c in (before, config)]
        if kept[0] != kept[1]:
            raise CheckpointError(checkpoint.OTHER.format(folder))


def _fresh(config: ReaderConfig, tokenizer: Tokenizer) -> LlamaForCausalLM:
    return build_model(config.model, special_id(tokenizer, END), special_id(tokenizer, PAD), config.run.seed)


def _train(config: ReaderConfig, prepared: Prepared, model: LlamaForCausalLM, folder: Path, console: Console) -> Outcome:
    sampler = Sampler(prepared.shards, config.optim.batch_tokens, config.run.seed)
    if config.run.init_from:
        found, _ = checkpoint.restore(Path(config.run.init_from) / "checkpoints", model, None, None)
        if found is None:
            raise CheckpointError(f"run.init_from={config.run.init_from} holds no checkpoint")
    name = checkpoint.fingerprint(
        config.model.model_dump(), config.optim.model_dump(), config.run.seed, [shard.digest for shard in prepared.shards]
    )  # fmt: skip
    with RunProgress(console) as progress:
        outcome = train(model, sampler, config.optim, config.run, folder / "checkpoints", name, progress.step)
    for note in outcome.notes:
        console.print(note)
    return outcome


def _parity(flavor: VerifiedModel, model: LlamaForCausalLM, tokenizer: Tokenizer, folder: Path) -> dict[str, float]:
    """Parity over the first rows of the last stage, each cut before its first answer."""
    from slipway_training.shards import open_shard

    last = sorted((folder / "data").glob("stage-*"))[-1]
    shard = open_shard(last)
    prompts: list[list[int]] = []
    for row in range(min(len(shard), PARITY_PROMPTS)):
        start, stop = int(shard.offsets[row]), int(shard.offsets[row + 1])
        first = int(shard.target[start:stop].argmax())
        prompts.append([int(t) for t in shard.tokens[start : start + first]][-PARITY_TOKENS:])
    _, opened = open_flavor(flavor.folder)
    return asdict(parity(TransformersModel(model), opened, prompts, special_id(tokenizer, END)))
