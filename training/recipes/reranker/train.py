"""Trains the cross-encoder: `python training/recipes/reranker/train.py PAIRS.jsonl --base FOLDER --out FOLDER [--set key=value ...]`.

PAIRS are lists mined by our own search: `python -m slipway_retriever.evaluate FOLDER ... --pairs PAIRS.jsonl`. The loss is listwise (softmax cross-entropy of
the answering passage against hard negatives). A fifth of the questions, chosen by their hash, is held out: the logistic scales of relevance and evidence are
fitted on it, and the table compares the order with the one that search gave. Writes what SLIPWAY_RERANKER_SCORER reads: model.onnx (int8), tokenizer.json,
calibration.json, manifest.json, report.json.
"""

import argparse
import hashlib
import json
import math
import random
import shutil
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from tokenizers import Tokenizer

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Listed:
    """One query with the passages that search gave, best first, and the places of those that answer (none: a miss)."""

    query: str
    documents: tuple[str, ...]
    relevant: tuple[int, ...]

    @property
    def held_out(self) -> bool:
        return hashlib.sha256(self.query.encode()).digest()[1] % 5 == 0


class Scorer(torch.nn.Module):
    """A BERT with one logit, under the names that the service feeds."""

    def __init__(self, base: Path) -> None:
        super().__init__()
        from transformers import AutoModelForSequenceClassification

        # Eager attention, because a fused one is traced without its padding mask.
        self.bert = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, attn_implementation="eager")

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor) -> torch.Tensor:
        return self.bert(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).logits


def main(argv: Sequence[str] | None = None) -> int:
    """Train, calibrate, export, report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--base", type=Path, required=True, help="a BERT folder: config.json, model.safetensors, tokenizer.json")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[], help="key=value over config.yaml")
    wanted = parser.parse_args(argv)
    config = yaml.safe_load((HERE / "config.yaml").read_text(encoding="utf-8"))
    config |= {key: yaml.safe_load(value) for key, _, value in (item.partition("=") for item in wanted.set)}
    torch.manual_seed(config["seed"])
    rows = [_listed(json.loads(line)) for line in wanted.pairs.read_text(encoding="utf-8").splitlines()]
    tokenizer = Tokenizer.from_file(str(wanted.base / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(config["max_tokens"])
    model = Scorer(wanted.base).to("cuda" if torch.cuda.is_available() else "cpu")
    _train(model, tokenizer, [row for row in rows if row.relevant and not row.held_out], config)
    model = model.to("cpu").eval()
    held = [row for row in rows if row.held_out]
    logits = [_score(model, tokenizer, row) for row in held]
    export(model, wanted.base, wanted.out, calibration(held, logits))
    report = {"held_out": figures(held, logits), "config": config, "lists": len(rows)}
    (wanted.out / "report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    sys.stdout.write(json.dumps(report["held_out"]) + "\n")
    return 0


def _listed(raw: dict[str, Any]) -> Listed:
    return Listed(raw["query"], tuple(raw["documents"]), tuple(raw["relevant"]))


def _train(model: Scorer, tokenizer: Tokenizer, rows: list[Listed], config: dict[str, Any]) -> None:
    rng, size = random.Random(config["seed"]), config["lists_per_step"]
    if config["freeze_embeddings"]:
        model.bert.base_model.embeddings.requires_grad_(False)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=config["learning_rate"], weight_decay=0.01)
    steps = max(1, config["epochs"] * len(rows) // size)
    warm = max(1, int(config["warmup_share"] * steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min((s + 1) / warm, max(0.05, (steps - s) / steps)))
    until = time.monotonic() + 60 * config["minutes"] if config["minutes"] else math.inf
    model.train()
    for step, batch in enumerate(_steps(rows, size, steps, rng)):
        lists = [_with_negatives(row, config["negatives"], rng) for row in batch]
        scores = model(**_encoded(tokenizer, [pair for pairs in lists for pair in pairs], next(model.parameters()).device)).flatten()
        parts = torch.split(scores, [len(pairs) for pairs in lists])
        loss = torch.stack([-torch.log_softmax(part, 0)[0] for part in parts]).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            sys.stderr.write(f"step {step}/{steps} loss {loss.item():.3f}\n")
        if time.monotonic() > until:
            return


def _steps(rows: list[Listed], size: int, steps: int, rng: random.Random) -> Iterator[list[Listed]]:
    waiting: list[Listed] = []
    for _ in range(steps):
        if len(waiting) < size:
            waiting += rng.sample(rows, len(rows))
        yield [waiting.pop() for _ in range(min(size, len(waiting)))]


def _with_negatives(row: Listed, count: int, rng: random.Random) -> list[tuple[str, str]]:
    """The answering passage first, then wrong ones: the highest ranked of a random half of them, so that epochs differ."""
    wrong = [text for place, text in enumerate(row.documents) if place not in row.relevant]
    chosen = wrong if len(wrong) <= count else [text for text in wrong if rng.random() < 0.75][:count]
    return [(row.query, row.documents[row.relevant[0]]), *((row.query, text) for text in chosen)]


def _encoded(tokenizer: Tokenizer, pairs: list[tuple[str, str]], device: torch.device) -> dict[str, torch.Tensor]:
    found = tokenizer.encode_batch(pairs)
    width = max(len(e.ids) for e in found)
    out = {name: torch.zeros(len(found), width, dtype=torch.long) for name in ("input_ids", "attention_mask", "token_type_ids")}
    for i, e in enumerate(found):
        out["input_ids"][i, : len(e.ids)] = torch.tensor(e.ids)
        out["token_type_ids"][i, : len(e.ids)] = torch.tensor(e.type_ids)
        out["attention_mask"][i, : len(e.ids)] = 1
    return {name: tensor.to(device) for name, tensor in out.items()}


@torch.inference_mode()
def _score(model: Scorer, tokenizer: Tokenizer, row: Listed) -> list[float]:
    inputs = _encoded(tokenizer, [(row.query, text) for text in row.documents], torch.device("cpu"))
    return [float(x) for x in model(**inputs).flatten()]


def calibration(rows: Sequence[Listed], logits: Sequence[Sequence[float]]) -> dict[str, float]:
    """Platt scales: of a passage's relevance from its logit, and of a list's evidence from its highest logit."""
    passages = [(x, place in row.relevant) for row, xs in zip(rows, logits, strict=True) for place, x in enumerate(xs)]
    lists = [(max(xs), bool(row.relevant)) for row, xs in zip(rows, logits, strict=True)]
    (a, b), (c, d) = _platt(passages), _platt(lists)
    return {"relevance_scale": a, "relevance_shift": b, "evidence_scale": c, "evidence_shift": d}


def _platt(points: Sequence[tuple[float, bool]]) -> tuple[float, float]:
    x = torch.tensor([[value, 1.0] for value, _ in points], dtype=torch.float64)
    y = torch.tensor([float(truth) for _, truth in points], dtype=torch.float64)
    theta = torch.tensor([1.0, 0.0], dtype=torch.float64)
    for _ in range(50):  # Newton's method with a little ridge
        p = torch.sigmoid(x @ theta)
        gradient = x.T @ (p - y) + 0.1 * theta
        hessian = (x * (p * (1 - p))[:, None]).T @ x + 0.1 * torch.eye(2, dtype=torch.float64)
        theta = theta - torch.linalg.solve(hessian, gradient)
    return float(theta[0]), float(theta[1])


def figures(rows: Sequence[Listed], logits: Sequence[Sequence[float]]) -> dict[str, float]:
    """MRR over the held-out lists that hold an answer: in the order of search, and reranked."""
    kept = [(row, xs) for row, xs in zip(rows, logits, strict=True) if row.relevant]
    before = [1 / (1 + min(row.relevant)) for row, _ in kept]
    after = [
        1 / (1 + min(place for place, i in enumerate(np.argsort(-np.array(xs), kind="stable")) if i in row.relevant)) for row, xs in kept
    ]
    return {"lists": float(len(kept)), "mrr_search": float(np.mean(before or [0.0])), "mrr_reranked": float(np.mean(after or [0.0]))}


def export(model: Scorer, base: Path, out: Path, scales: dict[str, float]) -> None:
    """fp32 ONNX, held against torch on padded input, then int8 per channel; the digests of all files last."""
    import onnxruntime
    from onnxruntime.quantization import QuantType, quantize_dynamic

    out.mkdir(parents=True, exist_ok=True)
    names = ("input_ids", "attention_mask", "token_type_ids")
    mask = torch.tensor([[1] * 8, [1] * 5 + [0] * 3])  # a mask of ones alone would be traced away
    ids = torch.ones_like(mask)
    plain = out / "fp32.onnx"
    axes = {name: {0: "batch", 1: "sequence"} for name in names} | {"logits": {0: "batch"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, (ids, mask, torch.zeros_like(ids)), str(plain), input_names=list(names), output_names=["logits"],
            dynamic_axes=axes, opset_version=17, dynamo=False,
        )  # fmt: skip
    mask = torch.tensor([[1] * 11, [1] * 4 + [0] * 7])
    ids = torch.arange(22).reshape(2, 11) % 5
    types = torch.zeros_like(ids)
    got = onnxruntime.InferenceSession(str(plain)).run(["logits"], {n: t.numpy() for n, t in zip(names, (ids, mask, types), strict=True)})[
        0
    ]
    with torch.inference_mode():
        error = float(np.abs(np.asarray(got) - model(ids, mask, types).numpy()).max())
    if error > 1e-4:
        raise SystemExit(f"the exported graph differs from the model by {error:.2g}")
    quantize_dynamic(str(plain), str(out / "model.onnx"), per_channel=True, weight_type=QuantType.QInt8)
    plain.unlink()
    shutil.copyfile(base / "tokenizer.json", out / "tokenizer.json")
    (out / "calibration.json").write_text(json.dumps(scales, indent=1), encoding="utf-8")
    digests = {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in ("model.onnx", "tokenizer.json", "calibration.json")}
    (out / "manifest.json").write_text(json.dumps({"files": digests}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
