"""The reranker recipe from configuration to the folder that the reranker serves: start, train, export.

It knows the order of work and where each step leaves its files. It refuses to know the steps themselves.
"""

import json
from pathlib import Path

import torch
from rich.console import Console

from slipway_training.checkpoint import restore
from slipway_training.errors import CheckpointError
from slipway_training.reranker import loop, made, start
from slipway_training.reranker.config import RerankerConfig
from slipway_training.reranker.export import export, seal
from slipway_training.reranker.lists import Reading, read
from slipway_training.reranker.model import Reranker


def run(config: RerankerConfig, console: Console) -> bool:
    """Train (or go on) and export to `run.out`/served; False when a signal stopped the run, which the same call continues. Raises TrainingError."""
    out = Path(config.run.out)
    parts = parts_of(config)
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.json").write_text(json.dumps(config.model_dump(mode="json"), indent=1) + "\n", encoding="utf-8")
    console.print(
        f"{sum(p.numel() for p in parts.model.parameters()):,} parameters, {len(parts.model.layers)} layers, {len(parts.rows):,} lists",
        highlight=False,
    )
    done = loop.run(parts, config, lambda line: console.print(line, highlight=False))
    if done:
        parts.model.save(out / "hf")
        parts.reading.tokenizer.no_truncation()
        parts.reading.tokenizer.save(str(out / "hf" / "tokenizer.json"))
        serve(config, out, console)
    return done


def serve(config: RerankerConfig, out: Path, console: Console) -> Path:
    """Export the run's last weights to `out`/served; raises CheckpointError and ExportError."""
    model = Reranker.read(out / "hf")
    cursor, notes = restore(out / "checkpoints", model, None, None)
    if cursor is None:
        raise CheckpointError(f"{out} holds no whole checkpoint: {'; '.join(notes) or 'train it first'}")
    error = export(model.eval(), out / "hf" / "tokenizer.json", out / "served")
    window = config.model.window_tokens
    (out / "served" / "reading.json").write_text(
        json.dumps({"max_pair_tokens": window or config.model.max_tokens, "window": bool(window)}) + "\n", encoding="utf-8"
    )
    seal(out / "served")
    size = (out / "served" / "model.onnx").stat().st_size
    console.print(
        f"{out / 'served'}: {size:,} bytes, fp32 graph within {error:.1e} of the model; calibrate it with python -m slipway_reranker.calibrate"
    )
    return out / "served"


def parts_of(config: RerankerConfig) -> loop.Parts:
    """Network, teacher and lists of a run; raises DataMissing."""
    torch.set_num_threads(config.run.threads)
    torch.manual_seed(config.run.seed)
    if not config.data.lists:
        model, pieces, rows = made.network(config), made.tokenizer(config.model.max_tokens), made.lists(config.run.seed)
        teacher = made.network(config).eval() if config.distil.teacher else None
        return loop.Parts(model, teacher, rows, Reading(pieces, config.model.window_tokens))
    teacher = start.load(config.distil.teacher).eval() if config.distil.teacher else None
    pieces = start.tokenizer(config.model.base, config.model.max_tokens)
    return loop.Parts(
        start.load(config.model.base, config.model.keep),
        teacher,
        read(Path(config.data.lists), config.data),
        Reading(pieces, config.model.window_tokens),
    )
