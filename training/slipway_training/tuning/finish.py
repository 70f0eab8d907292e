"""What every tuning run leaves: `hf/`, the held-out loss before and after, provenance, a report and the curve.

It knows files and cross-entropy. It refuses to know how the model was tuned.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from slipway_training.plot import draw_curve
from slipway_training.tuning.base import Opened, weights_digest
from slipway_training.tuning.rows import IGNORED


@torch.inference_mode()
def mean_loss(model: Any, rows: Sequence[dict[str, list[int]]]) -> float:
    """Nats a learnt token over `rows`, one row at a time; not a number without rows."""
    was = model.training
    model.eval()
    total, count = 0.0, 0
    for row in rows:
        ids = torch.tensor([row["input_ids"]], device=model.device)
        labels = torch.tensor(row["labels"][1:], device=model.device)
        logits = model(input_ids=ids).logits[0, :-1].float()
        total += float(torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum"))
        count += int((labels != IGNORED).sum())
    model.train(was)
    return total / count if count else float("nan")


def write_hf(model: Any, opened: Opened, folder: Path) -> Path:
    """safetensors, config and the tokenizer's files below `folder/hf`."""
    out = folder / "hf"
    model.save_pretrained(out)
    opened.tokenizer.save_pretrained(out)
    return out


def write_report(folder: Path, report: dict[str, object], provenance: dict[str, object], base: Path) -> None:
    """report.json, provenance.json (the base by digest, the rows, the teacher), loss.svg from log.jsonl."""
    (folder / "report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    record = {"base": {"folder": base.name, "sha256": weights_digest(base)}, **provenance}
    (folder / "provenance.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    history = [
        (int(line.get("num_tokens", line["step"])), float(line["loss"]), float(line.get("mean_token_accuracy", 0.0))) for line in lines
    ]
    if history:
        draw_curve(history, folder / "loss.svg")
