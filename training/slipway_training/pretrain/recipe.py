"""One pretraining run, in order: rows, network, loop, Hugging Face folder, curve.

It knows the folder of a run. Each step lives in a module of its own; nothing is computed here.

    RUN/config.json, tokenizer.json     the recipe as it was run, the frozen tokenizer
    RUN/provenance.json                 source, licence, rows and digest of everything that was read
    RUN/log.jsonl                       a line for every step
    RUN/checkpoints/step-N/             safetensors
    RUN/hf/, report.json, loss.svg      the model as transformers reads it, figures, the curve
"""

import json
from pathlib import Path

import torch
from rich.console import Console
from transformers.utils import logging as transformers_logging

from slipway_training import checkpoint
from slipway_training.data.sampling import read_numbers
from slipway_training.device import device
from slipway_training.errors import CheckpointError
from slipway_training.export.onnx_folder import write_hf_folder
from slipway_training.pretrain.config import PretrainConfig
from slipway_training.pretrain.curve import draw_log
from slipway_training.pretrain.hf import write_hf
from slipway_training.pretrain.loop import LOG, Loop, Outcome, Step
from slipway_training.pretrain.model import build, flops_per_token, parameter_count
from slipway_training.pretrain.network import Network
from slipway_training.pretrain.order import Order
from slipway_training.pretrain.progress import RunProgress
from slipway_training.pretrain.rows import Rows, find_rows, keep_tokenizer
from slipway_training.pretrain.speed import peak_flops, with_precision
from slipway_training.pretrain.upload import fetch_newest
from slipway_training.tokenizer import PAD

NUMBERS = {
    "data": {"verify"},
    "run": {"out", "threads", "upload_to", "keep_checkpoints", "checkpoint_every_steps", "shard_mb", "price_per_hour", "tokens", "minutes"},
}
"""What may change between two legs of one run: where and how often state is written, and how far it goes."""


def run(config: PretrainConfig, console: Console) -> bool:
    """Train to the end and write `hf/` (True), or to a signal (False). Raises TrainingError."""
    transformers_logging.disable_progress_bar()  # one bar is enough
    folder = Path(config.run.out)
    folder.mkdir(parents=True, exist_ok=True)
    rows = find_rows(config.data, folder, config.run.seed, console)
    loop = open_loop(config, rows, folder)
    if loop.rank == 0:
        remember(loop.config, rows, folder)
    for note in loop.notes:
        console.print(note)
    outcome = _train(config, rows, loop, console)
    for note in outcome.notes:
        console.print(note, highlight=False)
    if outcome.done and loop.rank == 0:
        _finish(loop, rows, folder, outcome, console)
    return outcome.done


def open_loop(config: PretrainConfig, rows: Rows, folder: Path) -> Loop:
    """The loop at its newest checkpoint: the local one, or after a lost node the uploaded one. Raises CheckpointError, ConfigError."""
    config = with_precision(config, device())
    torch.set_num_threads(config.run.threads)
    packed = rows.packed
    if config.run.upload_to and not any((folder / "checkpoints").glob("step-*")):
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        fetch_newest(config.run.upload_to, folder / "checkpoints")
    vocabulary = config.model.vocab_size or packed.vocab_size
    if vocabulary < packed.vocab_size:
        raise CheckpointError(f"model.vocab_size={vocabulary} is smaller than the rows' vocabulary of {packed.vocab_size}")
    pad = rows.tokenizer.token_to_id(PAD)
    llama = build(config.model, vocabulary, packed.context, rows.end, rows.end if pad is None else pad, config.run.seed)
    weights = read_numbers(Path(config.data.weights), "weight", packed) if config.data.weights else None
    stages = packed.lengths_by_stage if config.data.curriculum else (len(packed),)
    order = Order(stages, held_out=config.data.held_out_rows, seed=config.run.seed, weights=weights)
    name = checkpoint.fingerprint(config.model_dump(mode="json", exclude=NUMBERS), packed.digest)
    end = rows.end if config.data.reset_attention else None
    network = Network(llama, config.optim.label_smoothing, end, compiled=config.run.compile)
    return Loop(network, order, packed.rows, config, folder, name, packed.context)


def _train(config: PretrainConfig, rows: Rows, loop: Loop, console: Console) -> Outcome:
    vocabulary = config.model.vocab_size or rows.packed.vocab_size
    flops = flops_per_token(config.model, vocabulary, rows.packed.context)
    count = parameter_count(config.model, vocabulary)
    if loop.rank:
        return loop.train(lambda _step: None)
    console.print(
        f"{count:,} parameters, {config.run.tokens:,} tokens, {loop.step_tokens:,} a step, {loop.world} process(es) on {loop.device.type}"
    )
    with RunProgress(console, config.run.tokens, flops / (peak_flops(loop.device) * loop.world)) as progress:
        return loop.train(progress.step)


def remember(config: PretrainConfig, rows: Rows, folder: Path) -> None:
    """What the run was made of, beside its log: configuration, tokenizer, provenance."""
    keep_tokenizer(rows, folder)
    kept = {**config.model_dump(mode="json"), "tokenizer_sha256": rows.packed.tokenizer_sha256, "rows_digest": rows.packed.digest}
    (folder / "config.json").write_text(json.dumps(kept, indent=1), encoding="utf-8")
    (folder / "shape.json").write_text(json.dumps({"context": rows.packed.context, "vocabulary": rows.packed.vocab_size}), encoding="utf-8")
    notes = [source.model_dump(mode="json") for source in rows.packed.provenance]
    (folder / "provenance.json").write_text(json.dumps(notes, indent=1), encoding="utf-8")


def _finish(loop: Loop, rows: Rows, folder: Path, outcome: Outcome, console: Console) -> None:
    llama = loop.plain.llama
    if loop.world == 1 or loop.config.run.sharding == "none":
        with loop.averaged():
            write_hf_folder(llama, rows.tokenizer, folder / "hf")
    else:
        write_hf(folder, folder / "hf")  # this process holds shards; the checkpoint is whole
    report = {
        "parameters": sum(p.numel() for p in llama.parameters()), "tokens": outcome.cursor.tokens, "steps": outcome.cursor.step,
        "seconds": outcome.cursor.seconds, "skipped_steps": outcome.cursor.skipped, "held_out_loss": outcome.held_out, "notes": outcome.notes,
    }  # fmt: skip
    (folder / "report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    draw_log(folder / LOG, folder / "loss.svg")
    console.print(f"held-out loss {outcome.held_out:.4f} nats a token; {folder / 'hf'} is ready", highlight=False)


__all__ = ["Step", "open_loop", "run"]
