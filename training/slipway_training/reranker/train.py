"""Trains the cross-encoder: `python training/recipes/reranker/train.py LISTS.jsonl --base FOLDER --out FOLDER [--set key=value ...]`.

LISTS are mined by our own search: `python -m slipway_retriever.evaluate.mine FOLDER ... --out LISTS.jsonl`. The loss is listwise: cross-entropy of the answering
passage against hard negatives, with a share of the target taken from the first stage's scores. Writes checkpoints as safetensors; export.py makes of
one what SLIPWAY_RERANKER_SCORER reads.
"""

import argparse
import itertools
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lists
import torch
import yaml
from model import Reranker
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

HERE = Path(__file__).parent


def main(argv: Sequence[str] | None = None) -> int:
    """Train by the clock, with checkpoints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("lists", type=Path)
    parser.add_argument("--base", type=Path, required=True, help="a BERT folder: config.json, model.safetensors, tokenizer.json")
    parser.add_argument("--out", type=Path, required=True, help="folder of the last checkpoint; earlier ones lie beside it as NAME-MINUTES")
    parser.add_argument("--set", action="append", default=[], help="key=value over config.yaml")
    wanted = parser.parse_args(argv)
    config = yaml.safe_load((HERE / "config.yaml").read_text(encoding="utf-8"))
    config |= {key: yaml.safe_load(value) for key, _, value in (item.partition("=") for item in wanted.set)}
    torch.manual_seed(config["seed"])
    rows = [row for row in lists.read(wanted.lists) if row.relevant]
    rows = [row for row in rows for _ in range(config["repeat"].get(row.set, 1))]
    model = Reranker.start(wanted.base, config["layers"]).to("cuda" if torch.cuda.is_available() else "cpu")
    pieces = tokenizer(wanted.base, config["max_tokens"])

    def save(name: str) -> None:
        model.save(wanted.out.parent / name)
        pieces.no_truncation()
        pieces.save(str(wanted.out.parent / name / "tokenizer.json"))
        pieces.enable_truncation(config["max_tokens"])

    train(model, pieces, rows, config, save, wanted.out.name)
    return 0


def tokenizer(base: Path, longest: int) -> Tokenizer:
    """The base's tokenizer, whose pairs are two sentences as the base knows them; the longer part loses what is too long."""
    made = Tokenizer.from_file(str(base / "tokenizer.json"))
    made.no_padding()
    special = [(name, made.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    made.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] [CLS]:1 $B:1 [SEP]:1", special_tokens=special)
    made.enable_truncation(longest)
    return made


def train(model: Reranker, pieces: Tokenizer, rows: list[lists.Listed], config: dict[str, Any], save: Any, name: str) -> None:
    """Steps until the clock or the epochs end."""
    device = next(model.parameters()).device
    model.words.requires_grad_(not config["freeze_words"])
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(_groups(model, config), fused=True)
    rates = [group["lr"] for group in optimizer.param_groups]
    batches = lists.steps(rows, pieces, config["negatives"], config["step_tokens"], random.Random(config["seed"]))
    started, seen, average, saved = time.monotonic(), 0, 0.0, 1
    model.train()
    for step in itertools.count():
        minutes = (time.monotonic() - started) / 60
        done = max(minutes / config["minutes"], seen / (config["epochs"] * len(rows)))
        if done >= 1:
            break
        rate = min(1.0, done / config["warmup_share"], (1 - done) / (1 - config["warmup_share"]))
        for group, full in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = full * max(0.02, rate)
        batch = next(batches)
        value = loss(model, batch, config["teacher_share"], device)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        seen += len(batch)
        average += (value.item() - average) / min(step + 1, 100)
        if step % 50 == 0:
            sys.stderr.write(f"{minutes:.1f} min, step {step}, {seen} of {len(rows)} lists an epoch, loss {average:.3f}\n")
        if minutes >= saved * config["checkpoint_minutes"]:
            save(f"{name}-{round(minutes)}")
            saved += 1
    save(name)


def _groups(model: Reranker, config: dict[str, Any]) -> list[dict[str, Any]]:
    """The few new scalars learn faster than the weights that the base brought."""
    new = [parameter for name, parameter in model.named_parameters() if name.endswith("across") or name in ("dimensions", "tokens")]
    old = [parameter for parameter in model.parameters() if parameter.requires_grad and all(parameter is not other for other in new)]
    return [
        {"params": old, "lr": config["learning_rate"], "weight_decay": 0.01},
        {"params": new, "lr": config["new_learning_rate"], "weight_decay": 0.0},
    ]


def loss(model: Reranker, batch: Sequence[lists.Example], share: float, device: torch.device) -> torch.Tensor:
    """Mean listwise cross-entropy. bfloat16 where the matrix units have it: half the time of float32 on AMX."""
    inputs = lists.tensors([ids for e in batch for ids in e.ids], [types for e in batch for types in e.types])
    with torch.autocast(device.type, torch.bfloat16):
        scores = model(**{key: value.to(device) for key, value in inputs.items()}).flatten().float()
    parts: list[torch.Tensor] = []
    for item, part in zip(batch, torch.split(scores, [len(e.ids) for e in batch]), strict=True):
        target = torch.zeros_like(part)
        target[0] = 1.0
        if item.teacher:
            target = (1 - share) * target + share * torch.softmax(torch.tensor(item.teacher, device=device), 0)
        parts.append(-(target * torch.log_softmax(part, 0)).sum())
    return torch.stack(parts).mean()


if __name__ == "__main__":
    sys.exit(main())
